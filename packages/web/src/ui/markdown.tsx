/** Draws the small Markdown of answers as React elements: nothing in it can become HTML. */
import { memo } from "react";
import { type Block, parseBlocks, parseInline } from "../lib/markdown.ts";
import { CopyButton } from "./copy-button.tsx";

export const Markdown = memo(function Markdown({ source }: { source: string }) {
  return (
    <div className="space-y-2.5 break-words leading-6">
      {parseBlocks(source).map((block, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a streamed text grows at its end, its blocks keep their places
        <BlockView key={index} block={block} />
      ))}
    </div>
  );
});

function BlockView({ block }: { block: Block }) {
  switch (block.kind) {
    case "paragraph":
      return (
        <p className="whitespace-pre-wrap">
          <InlineText text={block.text} />
        </p>
      );
    case "heading":
      return (
        <p className="font-semibold">
          <InlineText text={block.text} />
        </p>
      );
    case "list": {
      const List = block.ordered ? "ol" : "ul";
      return (
        <List className={block.ordered ? "list-decimal space-y-1 pl-6" : "list-disc space-y-1 pl-6"}>
          {block.items.map((item, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: items keep their places
            <li key={index}>
              <InlineText text={item} />
            </li>
          ))}
        </List>
      );
    }
    case "code":
      return (
        <div className="overflow-hidden rounded-md border border-line bg-sunken">
          <div className="flex items-center justify-between border-line border-b py-0.5 pr-1 pl-3 text-faint text-xs">
            <span>{block.language || "text"}</span>
            <CopyButton text={block.text} label="Copy code" />
          </div>
          <pre className="overflow-x-auto px-3 py-2 font-mono text-xs leading-5">{block.text}</pre>
        </div>
      );
  }
}

function InlineText({ text }: { text: string }) {
  return parseInline(text).map((part, index) => {
    const key = `${part.kind}-${index}`;
    switch (part.kind) {
      case "text":
        return <span key={key}>{part.text}</span>;
      case "code":
        return (
          <code key={key} className="rounded bg-hover px-1 py-0.5 font-mono text-[0.85em]">
            {part.text}
          </code>
        );
      case "strong":
        return <strong key={key}>{part.text}</strong>;
      case "link":
        return (
          <a
            key={key}
            href={part.href}
            target="_blank"
            rel="noreferrer noopener"
            className="text-accent underline underline-offset-2"
          >
            {part.text}
          </a>
        );
    }
    return null;
  });
}
