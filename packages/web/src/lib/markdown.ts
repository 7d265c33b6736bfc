/** The little Markdown that answers use: fences, headings, lists, paragraphs; inline code, bold and links. Pure; makes data, never HTML. */

export type Inline =
  | { kind: "text"; text: string }
  | { kind: "code"; text: string }
  | { kind: "strong"; text: string }
  | { kind: "link"; text: string; href: string };
export type Block =
  | { kind: "paragraph"; text: string }
  | { kind: "heading"; text: string }
  | { kind: "list"; ordered: boolean; items: string[] }
  | { kind: "code"; language: string; text: string };

const fence = /^\s*(`{3,}|~{3,})\s*([\w+#.-]*)/;
const bullet = /^\s*[-*+]\s+(.*)$/;
const number = /^\s*\d+[.)]\s+(.*)$/;

/** An unclosed fence runs to the end: that is how a streamed answer looks half-way. */
export function parseBlocks(source: string): Block[] {
  const blocks: Block[] = [];
  const lines = source.split("\n");
  let paragraph: string[] = [];
  const endParagraph = () => {
    if (paragraph.length > 0) blocks.push({ kind: "paragraph", text: paragraph.join("\n") });
    paragraph = [];
  };
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index] ?? "";
    const opening = fence.exec(line);
    const item = bullet.exec(line) ?? number.exec(line);
    if (opening) {
      endParagraph();
      const marker = opening[1] ?? "```";
      const body: string[] = [];
      for (index += 1; index < lines.length && !(lines[index] ?? "").trimStart().startsWith(marker); index++)
        body.push(lines[index] ?? "");
      blocks.push({ kind: "code", language: opening[2] ?? "", text: body.join("\n") });
    } else if (item) {
      endParagraph();
      const ordered = !bullet.test(line);
      const before = blocks.at(-1);
      const text = item[1] ?? "";
      if (before?.kind === "list" && before.ordered === ordered) before.items.push(text);
      else blocks.push({ kind: "list", ordered, items: [text] });
    } else if (/^#{1,6}\s/.test(line)) {
      endParagraph();
      blocks.push({ kind: "heading", text: line.replace(/^#+\s+/, "") });
    } else if (line.trim() === "") {
      endParagraph();
    } else {
      paragraph.push(line);
    }
  }
  endParagraph();
  return blocks;
}

const inline = /`([^`\n]+)`|\*\*([^*\n]+)\*\*|\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)/g;

/** Only http and https make a link: an answer is not trusted. */
export function parseInline(text: string): Inline[] {
  const parts: Inline[] = [];
  let from = 0;
  for (const match of text.matchAll(inline)) {
    if (match.index > from) parts.push({ kind: "text", text: text.slice(from, match.index) });
    const [whole, code, strong, label, href] = match;
    if (code !== undefined) parts.push({ kind: "code", text: code });
    else if (strong !== undefined) parts.push({ kind: "strong", text: strong });
    else parts.push({ kind: "link", text: label ?? "", href: href ?? "" });
    from = match.index + whole.length;
  }
  if (from < text.length) parts.push({ kind: "text", text: text.slice(from) });
  return parts;
}
