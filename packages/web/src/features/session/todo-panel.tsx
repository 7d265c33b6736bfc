/** The agent's own list of what there is to do. */
import { type Todo } from "@open-inspect/protocol";
import { Circle, CircleCheck, CircleDot, CircleSlash, ListChecks } from "lucide-react";
import { type ReactNode } from "react";
import { cn } from "../../lib/cn.ts";
import { EmptyState } from "../../ui/page.tsx";

const looks: Record<Todo["status"], { icon: ReactNode; word: string; text: string }> = {
  completed: { icon: <CircleCheck className="text-ok" />, word: "done", text: "text-muted" },
  in_progress: { icon: <CircleDot className="text-warn" />, word: "in progress", text: "font-medium" },
  pending: { icon: <Circle className="text-faint" />, word: "to do", text: "" },
  cancelled: { icon: <CircleSlash className="text-faint" />, word: "dropped", text: "text-faint line-through" },
};

export function TodoPanel({ todos }: { todos: readonly Todo[] }) {
  if (todos.length === 0) {
    return (
      <EmptyState icon={<ListChecks />} title="No to-do list">
        For work of several steps the agent keeps a list. It is shown here as it is worked off.
      </EmptyState>
    );
  }
  const done = todos.filter(({ status }) => status === "completed").length;
  return (
    <div>
      <p className="text-muted text-sm">
        {done} of {todos.length} done
      </p>
      <div aria-hidden="true" className="mt-2 h-1 overflow-hidden rounded-full bg-hover">
        <div className="h-full rounded-full bg-ok-dot transition-[width]" style={{ width: `${(done / todos.length) * 100}%` }} />
      </div>
      <ol aria-label="To-do list" className="mt-3 space-y-2">
        {todos.map((todo, index) => {
          const { icon, word, text } = looks[todo.status];
          return (
            // biome-ignore lint/suspicious/noArrayIndexKey: the list is always given as a whole
            <li key={index} data-todo={todo.status} className="flex items-start gap-2">
              <span aria-hidden="true" className="mt-0.5 shrink-0 [&_svg]:size-4">
                {icon}
              </span>
              <span dir="auto" className={cn("min-w-0 flex-1 break-words", text)}>
                <span className="sr-only">{word}: </span>
                {todo.content}
                {todo.priority === "high" && todo.status !== "completed" ? (
                  <span className="ml-1.5 text-bad text-xs">high</span>
                ) : null}
              </span>
            </li>
          );
        })}
      </ol>
    </div>
  );
}
