/** The conversation: what was asked, and the agent's answer part by part as it streams in. */
import { type PromptPart, type PromptView } from "@open-inspect/protocol";
import { Wrench } from "lucide-react";
import { promptWords, type Tone } from "../../lib/words.ts";
import { Age } from "../../ui/age.tsx";
import { StatusBadge } from "../../ui/badge.tsx";
import { Disclosure } from "../../ui/disclosure.tsx";
import { OutputBlock } from "../../ui/failure-panel.tsx";
import { Markdown } from "../../ui/markdown.tsx";

export function Prompts({ prompts }: { prompts: PromptView[] }) {
  if (prompts.length === 0) return <p className="text-muted text-sm">This session was started without a prompt.</p>;
  return (
    <ol aria-label="Conversation" className="space-y-8">
      {prompts.map((prompt) => (
        <Prompt key={prompt.id} prompt={prompt} />
      ))}
    </ol>
  );
}

function Prompt({ prompt }: { prompt: PromptView }) {
  return (
    <li data-prompt={prompt.id}>
      <div className="rounded-lg border border-line bg-sunken px-4 py-3">
        <p className="whitespace-pre-wrap break-words">{prompt.text}</p>
        <p className="mt-2 flex flex-wrap items-center gap-x-3 gap-y-1 text-faint text-xs">
          <StatusBadge status={prompt.status} {...promptWords[prompt.status]} />
          <Age at={prompt.createdAt} />
          {prompt.model === null ? null : <span>{prompt.model}</span>}
        </p>
      </div>
      <section aria-label="Answer" aria-busy={prompt.status === "running"} className="mt-4 space-y-3">
        {prompt.parts.map((part) => (
          <Part key={part.id} part={part} />
        ))}
        {prompt.parts.length === 0 && prompt.status === "queued" ? (
          <p className="text-muted text-sm">Waits until the session is ready.</p>
        ) : null}
        {prompt.parts.length === 0 && prompt.status === "running" ? (
          <p className="text-muted text-sm">The agent is thinking…</p>
        ) : null}
        {prompt.error === null ? null : (
          <p role="alert" className="break-words rounded-md bg-bad-soft px-3.5 py-2.5 text-bad text-sm">
            {prompt.error}
          </p>
        )}
      </section>
    </li>
  );
}

function Part({ part }: { part: PromptPart }) {
  switch (part.kind) {
    case "text":
      return part.text.trim() === "" ? null : <Markdown source={part.text} />;
    case "reasoning":
      return part.text.trim() === "" ? null : (
        <Disclosure summary="Reasoning">
          <p className="mt-1 ml-5 whitespace-pre-wrap break-words border-line border-l-2 pl-3 text-muted text-sm">{part.text}</p>
        </Disclosure>
      );
    case "tool":
      return <ToolPart part={part} />;
  }
}

type Tool = Extract<PromptPart, { kind: "tool" }>;

const toolWords: Record<Tool["status"], { word: string; tone: Tone; busy?: boolean }> = {
  pending: { word: "Pending", tone: "neutral" },
  running: { word: "Running", tone: "warn", busy: true },
  completed: { word: "Done", tone: "ok" },
  error: { word: "Error", tone: "bad" },
  interrupted: { word: "Interrupted", tone: "neutral" },
};

function ToolPart({ part }: { part: Tool }) {
  return (
    <div data-tool={part.tool} className="rounded-md border border-line px-3 py-1.5">
      <Disclosure
        summary={
          <>
            <Wrench aria-hidden="true" className="size-3.5 shrink-0 text-faint" />
            <span className="shrink-0 font-medium text-fg">{part.tool}</span>
            <span className="min-w-0 flex-1 truncate font-mono text-xs">{part.title}</span>
            <StatusBadge status={part.status} {...toolWords[part.status]} />
          </>
        }
      >
        <div className="space-y-2 pt-2 pb-1">
          {part.input === "" ? null : <OutputBlock label={`Input of ${part.tool}`} text={part.input} />}
          {part.output === "" ? null : <OutputBlock label={`Output of ${part.tool}`} text={part.output} />}
          {part.input === "" && part.output === "" ? <p className="text-faint text-sm">Nothing printed yet.</p> : null}
        </div>
      </Disclosure>
    </div>
  );
}
