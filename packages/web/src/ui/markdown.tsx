/** Draws the Markdown of answers as React elements: nothing in it can become HTML, and pictures from elsewhere are links. */
import { type MarkedToken, type Token, type Tokens } from "marked";
import { memo, type ReactNode } from "react";
import { decode, isKnown, parseMarkdown, safeAddress } from "../lib/markdown.ts";
import { CodeBlock } from "./code-block.tsx";

/** Blocks from which on those far from the screen are laid out only when they come near. */
const longAnswer = 80;

const isHeading = (token: Token): token is Tokens.Heading => token.type === "heading";

export const Markdown = memo(function Markdown({ source }: { source: string }) {
  const tokens = parseMarkdown(source);
  const isLong = tokens.length > longAnswer;
  const topDepth = Math.min(...tokens.map((token) => (isHeading(token) ? token.depth : 6)));
  return (
    <div className="space-y-3 break-words leading-6">
      {tokens.map((token, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a streamed text grows at its end, its blocks keep their places
        <Placed key={index} isLong={isLong && token.type !== "space"}>
          <Block raw={token.raw} token={token} topDepth={isHeading(token) ? topDepth : 0} />
        </Placed>
      ))}
    </div>
  );
});

const Placed = ({ isLong, children }: { isLong: boolean; children: ReactNode }) =>
  isLong ? <div className="answer-block">{children}</div> : children;

/** A finished block of a growing answer is drawn once: its source tells whether it is another one. */
const Block = memo(
  ({ token, topDepth }: { raw: string; token: Token; topDepth: number }) =>
    isHeading(token) ? <HeadingView heading={token} topDepth={topDepth} /> : <TokenView token={token} />,
  (before, after) => before.raw === after.raw && before.token.type === after.token.type && before.topDepth === after.topDepth,
);

/** An answer is part of a page that has one title: its own uppermost headings come right below it. */
const headings = ["h2", "h3", "h4", "h5", "h6"] as const;

function HeadingView({ heading, topDepth }: { heading: Tokens.Heading; topDepth: number }) {
  const Heading = headings[heading.depth - topDepth] ?? "h6";
  return (
    <Heading dir="auto" className={heading.depth > topDepth ? "pt-1 font-semibold" : "pt-1 font-semibold text-lg"}>
      <Inside tokens={heading.tokens} />
    </Heading>
  );
}

function Inside({ tokens }: { tokens: Token[] | undefined }) {
  // biome-ignore lint/suspicious/noArrayIndexKey: tokens keep their places
  return (tokens ?? []).map((token, index) => <TokenView key={index} token={token} />);
}

function TokenView({ token }: { token: Token }): ReactNode {
  return isKnown(token) ? drawBlock(token) : token.raw;
}

function drawBlock(token: MarkedToken): ReactNode {
  switch (token.type) {
    case "paragraph":
      return (
        <p dir="auto">
          <Inside tokens={token.tokens} />
        </p>
      );
    case "heading":
      return <HeadingView heading={token} topDepth={token.depth} />;
    case "code":
      return <CodeBlock text={token.text} language={token.lang?.split(/[\s{:,]/, 1)[0] ?? ""} />;
    case "blockquote":
      return (
        <blockquote dir="auto" className="space-y-2 border-line-strong border-s-2 ps-3 text-muted">
          <Inside tokens={token.tokens} />
        </blockquote>
      );
    case "list":
      return <ListView list={token} />;
    case "table":
      return <TableView table={token} />;
    case "hr":
      return <hr className="border-line" />;
    case "html":
      // Not markup to us: a paragraph of its own where it stands between others.
      return token.block === true ? <p dir="auto">{token.raw.trimEnd()}</p> : token.raw;
    case "space":
    case "def":
      return null;
    default:
      return drawInline(token);
  }
}

type InlineToken = Exclude<
  MarkedToken,
  { type: "paragraph" | "heading" | "code" | "blockquote" | "list" | "table" | "hr" | "html" | "space" | "def" }
>;

function drawInline(token: InlineToken): ReactNode {
  switch (token.type) {
    case "text":
      return "tokens" in token && token.tokens !== undefined ? <Inside tokens={token.tokens} /> : decode(token.text);
    case "escape":
      return token.text;
    case "strong":
      return (
        <strong className="font-semibold">
          <Inside tokens={token.tokens} />
        </strong>
      );
    case "em":
      return (
        <em>
          <Inside tokens={token.tokens} />
        </em>
      );
    case "del":
      return (
        <del>
          <Inside tokens={token.tokens} />
        </del>
      );
    case "codespan":
      return <code className="rounded bg-hover px-1 py-0.5 font-mono text-[0.85em]">{token.text}</code>;
    case "br":
      return <br />;
    case "link":
      return (
        <Address href={token.href}>
          <Inside tokens={token.tokens} />
        </Address>
      );
    case "image":
      return <Address href={token.href}>{token.text || "picture"}</Address>;
    case "checkbox":
      return null;
    case "list_item":
      return <Inside tokens={token.tokens} />;
  }
}

function Address({ href, children }: { href: string; children: ReactNode }) {
  const address = safeAddress(href);
  if (address === null) return <span>{children}</span>;
  return (
    <a href={address} target="_blank" rel="noreferrer noopener" className="text-accent underline underline-offset-2">
      {children}
    </a>
  );
}

function ListView({ list }: { list: Tokens.List }) {
  const items = list.items.map((item, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: items keep their places
    <li key={index} className={item.task ? "flex list-none items-baseline gap-2 [&>:last-child]:min-w-0" : "space-y-1.5 ps-1"}>
      {item.task ? (
        <>
          <input
            type="checkbox"
            aria-label={item.checked === true ? "Done" : "To do"}
            checked={item.checked === true}
            readOnly
            disabled
            className="-ms-5 translate-y-0.5 accent-accent"
          />
          <span>
            <Inside tokens={item.tokens} />
          </span>
        </>
      ) : (
        <Inside tokens={item.tokens} />
      )}
    </li>
  ));
  if (!list.ordered) {
    return (
      <ul dir="auto" className="list-disc space-y-1 ps-5 marker:text-faint">
        {items}
      </ul>
    );
  }
  const first = list.start === "" ? 1 : list.start;
  const digits = String(first + items.length - 1).length;
  return (
    <ol
      dir="auto"
      start={first}
      // Room for its widest number, which would be cut off at the edge.
      style={{ paddingInlineStart: `${digits + 1.5}ch` }}
      className="list-decimal space-y-1 marker:text-faint"
    >
      {items}
    </ol>
  );
}

function TableView({ table }: { table: Tokens.Table }) {
  const cellStyles = "border-line border-b px-3 py-1.5 text-left align-top";
  const align = (index: number) => ({ textAlign: table.align[index] ?? "left" });
  return (
    <div className="overflow-x-auto rounded-md border border-line">
      <table className="w-full border-collapse text-sm">
        <thead className="bg-sunken">
          <tr>
            {table.header.map((cell, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: columns keep their places
              <th key={index} style={align(index)} className={`${cellStyles} font-medium`}>
                <Inside tokens={cell.tokens} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody className="[&>tr:last-child>td]:border-b-0">
          {table.rows.map((row, line) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: rows keep their places
            <tr key={line}>
              {row.map((cell, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: columns keep their places
                <td key={index} style={align(index)} className={cellStyles}>
                  <Inside tokens={cell.tokens} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
