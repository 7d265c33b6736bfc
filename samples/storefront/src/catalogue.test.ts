import { expect, test } from "vitest";
import { productSchema, products, stockValue } from "./catalogue";

test("the value of the stock is counted by department", () => {
  expect(stockValue(products)).toEqual({ garden: 92890, kitchen: 109600, workshop: 72800 });
  expect(stockValue([])).toEqual({});
});

test("a product in an unknown department is refused", () => {
  expect(productSchema.safeParse({ ...products[0], department: "attic" }).success).toBe(false);
});
