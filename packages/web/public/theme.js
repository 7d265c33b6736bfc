// Sets the colour theme before the first paint, so that a dark page never flashes white. Reads the choice that
// src/lib/theme.ts stores; without one, the system's.
(() => {
  let choice = null;
  try {
    choice = localStorage.getItem("open-inspect.theme");
  } catch {
    // Storage may be switched off: the system's theme then.
  }
  const dark = choice === "dark" || (choice !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
