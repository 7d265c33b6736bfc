/** What ticks on a page: one moment for all who look at the same clock, and nothing when nobody looks. */
import { act, renderHook } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { useNow } from "../src/lib/clock.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("all who look at the same clock see the same moment, also who came between two ticks", () => {
  const first = renderHook(() => useNow(100));
  act(() => void vi.advanceTimersByTime(130));
  const second = renderHook(() => useNow(100));
  act(() => void vi.advanceTimersByTime(70));
  expect(second.result.current).toBe(first.result.current);
  expect(vi.getTimerCount()).toBe(1);
});

it("a clock stops when nobody looks at it, and goes again for the next who does", () => {
  const { unmount } = renderHook(() => useNow(100));
  unmount();
  expect(vi.getTimerCount()).toBe(0);
  const { result } = renderHook(() => useNow(100));
  const before = result.current;
  act(() => void vi.advanceTimersByTime(100));
  expect(result.current - before).toBe(100);
});

it("who asks for no clock starts none", () => {
  renderHook(() => useNow(null));
  expect(vi.getTimerCount()).toBe(0);
});
