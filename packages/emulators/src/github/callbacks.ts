/** Which addresses of an app GitHub sends people back to. Pure. */

const loopback = new Set(["127.0.0.1", "localhost", "[::1]"]);

const parse = (text: string): URL | null => {
  if (!URL.canParse(text)) return null;
  const url = new URL(text);
  const isPlain = url.username === "" && url.password === "" && url.hash === "";
  return isPlain && (url.protocol === "https:" || url.protocol === "http:") ? url : null;
};

/**
 * The address asked for, when it is a registered one or lies below one. As on GitHub the port of a loopback address is free, for programs
 * that cannot choose theirs. Without one asked for: the first registered. null: it is none of them.
 */
export function callbackFor(registered: readonly string[], asked: string | undefined): string | null {
  if (asked === undefined) return registered[0] ?? null;
  const wanted = parse(asked);
  if (wanted === null) return null;
  const fits = registered.map(parse).some((url) => {
    if (url === null || url.protocol !== wanted.protocol || url.hostname !== wanted.hostname) return false;
    if (url.port !== wanted.port && !loopback.has(url.hostname)) return false;
    // As on GitHub a callback takes no parameters but its own.
    if (url.search !== wanted.search) return false;
    const base = url.pathname.replace(/\/$/, "");
    return wanted.pathname === url.pathname || wanted.pathname.startsWith(`${base}/`);
  });
  return fits ? asked : null;
}
