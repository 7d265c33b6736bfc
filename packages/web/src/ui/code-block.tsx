/** Code in a frame, coloured once its highlighter is here, with a button that copies it. */
import { memo } from "react";
import { type CodeLine, useHighlight } from "../lib/highlight.ts";
import { CopyButton } from "./copy-button.tsx";

export function CodeLineView({ line }: { line: CodeLine }) {
  return line.map((span, index) =>
    span.className === "" ? (
      span.text
    ) : (
      // biome-ignore lint/suspicious/noArrayIndexKey: the spans of a line keep their places
      <span key={index} className={span.className}>
        {span.text}
      </span>
    ),
  );
}

interface CodeBlockProps {
  text: string;
  /** as a fence names it; empty for none */
  language: string;
}

export const CodeBlock = memo(function CodeBlock({ text, language }: CodeBlockProps) {
  const lines = useHighlight(text, language);
  return (
    <div className="group overflow-hidden rounded-md border border-line bg-sunken">
      <div className="flex h-8 items-center justify-between border-line border-b pr-1 pl-3 text-faint text-xs">
        <span>{language || "text"}</span>
        <CopyButton text={text} label="Copy code" />
      </div>
      <pre
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        tabIndex={0}
        className="overflow-x-auto px-3 py-2 font-mono text-xs leading-5 focus-visible:-outline-offset-2"
        data-highlighted={lines !== null}
      >
        {lines === null
          ? text
          : lines.map((line, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: lines keep their places
              <span key={index}>
                {index > 0 ? "\n" : null}
                <CodeLineView line={line} />
              </span>
            ))}
      </pre>
    </div>
  );
});
