// @vitest-environment jsdom
import { createElement, type ReactElement } from "react";
import { createRoot } from "react-dom/client";
import { act } from "react";
import { Provider } from "react-redux";
import { afterEach, expect, test } from "vitest";
import { store } from "./cart";
import { products } from "./catalogue";
import { Checkout } from "./checkout";
import { StockTable } from "./stock-table";

Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });
let unmount = () => {};
afterEach(() => unmount());

async function show(page: ReactElement): Promise<HTMLElement> {
  const element = document.createElement("div");
  document.body.append(element);
  const root = createRoot(element);
  unmount = () => act(() => root.unmount());
  await act(async () => root.render(createElement(Provider, { store, children: page })));
  return element;
}

test("the stock table has a row for each product, and adds it to the cart", async () => {
  const page = await show(<StockTable />);
  expect(page.querySelectorAll("tr")).toHaveLength(products.length);
  await act(async () => page.querySelector("button")?.click());
  expect(store.getState().cart.quantities).toEqual({ p1: 1 });
});

test("an order without an address is not sent", async () => {
  const orders: string[] = [];
  const page = await show(<Checkout onOrder={(id) => orders.push(id)} />);
  await act(async () => page.querySelector("form")?.requestSubmit());
  expect(orders).toEqual([]);
});
