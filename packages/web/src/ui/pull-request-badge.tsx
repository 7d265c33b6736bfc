/** A pull request as its number in the colour of its state. */
import { type PullRequest } from "@open-inspect/protocol";
import { GitMerge, GitPullRequest, GitPullRequestClosed, GitPullRequestDraft } from "lucide-react";
import { type ReactNode } from "react";
import { cn } from "../lib/cn.ts";
import { pullRequestWords, type Tone } from "../lib/words.ts";

const icons: Record<PullRequest["state"], ReactNode> = {
  draft: <GitPullRequestDraft />,
  open: <GitPullRequest />,
  merged: <GitMerge />,
  closed: <GitPullRequestClosed />,
};
const looks: Record<Tone, string> = {
  ok: "bg-ok-soft text-ok",
  warn: "bg-warn-soft text-warn",
  bad: "bg-bad-soft text-bad",
  accent: "bg-accent-soft text-accent",
  neutral: "bg-hover text-muted",
};

export function PullRequestBadge({ pullRequest }: { pullRequest: PullRequest }) {
  const { word, tone } = pullRequestWords[pullRequest.state];
  return (
    <span
      data-pull-request={pullRequest.state}
      className={cn(
        "inline-flex h-5.5 items-center gap-1 whitespace-nowrap rounded-full px-2 font-medium text-xs [&_svg]:size-3.5",
        looks[tone],
      )}
    >
      <span aria-hidden="true">{icons[pullRequest.state]}</span>#{pullRequest.number}
      <span className="sr-only"> {word.toLowerCase()}</span>
    </span>
  );
}
