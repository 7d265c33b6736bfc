import { configureStore, createSlice, type PayloadAction } from "@reduxjs/toolkit";
import { create } from "zustand";

const cart = createSlice({
  name: "cart",
  initialState: { quantities: {} as Record<string, number> },
  reducers: {
    added(state, action: PayloadAction<string>) {
      state.quantities[action.payload] = (state.quantities[action.payload] ?? 0) + 1;
    },
    removed(state, action: PayloadAction<string>) {
      delete state.quantities[action.payload];
    },
  },
});

export const { added, removed } = cart.actions;
export const store = configureStore({ reducer: { cart: cart.reducer } });
export type RootState = ReturnType<typeof store.getState>;

interface View {
  department: string | null;
  show(department: string | null): void;
}
export const useView = create<View>((set) => ({ department: null, show: (department) => set({ department }) }));
