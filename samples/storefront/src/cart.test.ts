import { expect, test } from "vitest";
import { added, removed, store, useView } from "./cart";

test("a product is counted each time it is added, and gone when it is removed", () => {
  store.dispatch(added("p1"));
  store.dispatch(added("p1"));
  expect(store.getState().cart.quantities).toEqual({ p1: 2 });
  store.dispatch(removed("p1"));
  expect(store.getState().cart.quantities).toEqual({});
});

test("one department is shown at a time", () => {
  useView.getState().show("garden");
  expect(useView.getState().department).toBe("garden");
});
