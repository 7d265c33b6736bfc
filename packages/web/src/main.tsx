/** Starts the dashboard in the browser. */
import "./lib/zod-without-eval.ts";
import "./styles.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App, createServices } from "./app/providers.tsx";
import { createAppRouter } from "./app/router.tsx";
import { createApi } from "./lib/api.ts";

const container = document.getElementById("root");
if (container === null) throw new Error("index.html has no #root");

const services = createServices(createApi(fetch.bind(globalThis)), WebSocket);
createRoot(container).render(
  <StrictMode>
    <App services={services} router={createAppRouter()} />
  </StrictMode>,
);
