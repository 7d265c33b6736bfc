/** Builds the dashboard into `dist`, which the Worker serves. Knows nothing of the API. */
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  plugins: [react(), tailwindcss()],
  build: {
    target: "es2023",
    // An inlined module would be an inline script or a data: URL, which the Content-Security-Policy refuses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 600,
    // Libraries change seldom: a deploy of our own code leaves them in the browser's cache. The highlighter is fetched when it is wanted.
    rolldownOptions: {
      output: {
        codeSplitting: { groups: [{ name: "libraries", test: /node_modules\/(?!.*(?:highlight\.js|lowlight|devlop))/ }] },
      },
    },
  },
});
