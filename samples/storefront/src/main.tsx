import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import i18next from "i18next";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { initReactI18next } from "react-i18next";
import { Provider } from "react-redux";
import { BrowserRouter, Link, Route, Routes } from "react-router-dom";
import { store } from "./cart";
import { Checkout } from "./checkout";
import { SalesChart } from "./sales-chart";
import { StockTable } from "./stock-table";
import "./style.scss";

void i18next.use(initReactI18next).init({ lng: "en", resources: { en: { translation: { email: "E-mail", note: "Note", order: "Order" } } } });

function App() {
  const [orderId, setOrderId] = useState<string | null>(null);
  return (
    <BrowserRouter>
      <nav>
        <Link to="/">Catalogue</Link> <Link to="/sales">Sales</Link> <Link to="/checkout">Checkout</Link>
      </nav>
      <Routes>
        <Route path="/" element={<StockTable />} />
        <Route path="/sales" element={<SalesChart />} />
        <Route path="/checkout" element={orderId ? <p>Ordered: {orderId}</p> : <Checkout onOrder={setOrderId} />} />
      </Routes>
    </BrowserRouter>
  );
}

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <Provider store={store}>
      <QueryClientProvider client={new QueryClient()}>
        <App />
      </QueryClientProvider>
    </Provider>
  </StrictMode>,
);
