/** Terminal output as coloured spans: reads SGR colours, drops every other control sequence. Pure. */

export interface AnsiSpan {
  text: string;
  /** CSS classes of styles.css, empty for plain text */
  className: string;
}

const esc = "\\u001b";
const sgr = new RegExp(`${esc}\\[([0-9;]*)m`, "g");
/** CSI other than SGR, OSC up to its end, two-character escapes, and lone control characters save tab. */
const others = new RegExp(
  `${esc}\\[[0-9;?<>=]*[ -/]*[@-ln-~]|${esc}\\][^\\u0007\\u001b]*(?:\\u0007|${esc}\\\\)?|${esc}[()*+][0-9A-Za-z]|${esc}[@-Z\\\\^_=>78c]|[\\u0000-\\u0008\\u000b-\\u001a\\u001c-\\u001f\\u007f]`,
  "g",
);

export function stripAnsi(text: string): string {
  return text.replace(others, "").replace(sgr, "");
}

export function parseAnsi(text: string): AnsiSpan[] {
  const clean = text.replace(others, "");
  const spans: AnsiSpan[] = [];
  let colour = "";
  let weight = "";
  let from = 0;
  const push = (to: number) => {
    if (to > from) spans.push({ text: clean.slice(from, to), className: [colour, weight].filter(Boolean).join(" ") });
  };
  for (const match of clean.matchAll(sgr)) {
    push(match.index);
    from = match.index + match[0].length;
    const codes = (match[1] || "0").split(";").map(Number);
    for (let index = 0; index < codes.length; index++) {
      const code = codes[index] ?? 0;
      if (code === 0) colour = weight = "";
      else if (code === 1) weight = "ansi-bold";
      else if (code === 2) weight = "ansi-dim";
      else if (code === 22) weight = "";
      else if (code === 39) colour = "";
      else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) colour = `ansi-${code}`;
      // 256 and true colours carry arguments that must not be read as codes of their own.
      else if (code === 38 || code === 48) index += codes[index + 1] === 5 ? 2 : 4;
    }
  }
  push(clean.length);
  return spans;
}
