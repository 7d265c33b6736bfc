/** GitHub's Markdown as tokens, by marked's lexer. Makes data, never HTML: how tokens are drawn is the page's business. */
import { Lexer, type MarkedToken, type Token } from "marked";

/** What an answer's writer broke stays broken: a single newline is one. */
const options = { gfm: true, breaks: true };

const kinds: ReadonlySet<string> = new Set<MarkedToken["type"]>([
  ...(["blockquote", "br", "checkbox", "code", "codespan", "def", "del", "em", "escape", "heading", "hr", "html"] as const),
  ...(["image", "link", "list", "list_item", "paragraph", "space", "strong", "table", "text"] as const),
]);

/** Extensions could make others; there is none. */
export const isKnown = (token: Token): token is MarkedToken => kinds.has(token.type);

/** An unclosed fence runs to the end: that is how a streamed answer looks half-way. */
export const parseMarkdown = (source: string): Token[] => new Lexer(options).lex(source);

const entities: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", "#39": "'" };

/** The few character references that answers use. */
export const decode = (text: string): string =>
  text.replace(/&(amp|lt|gt|quot|apos|nbsp|#39);/g, (all, name: string) => entities[name] ?? all);

/** Only http and https make a link: an answer is not trusted. */
export function safeAddress(href: string): string | null {
  return /^https?:\/\//i.test(href) && URL.canParse(href) ? href : null;
}
