/** Hears the page's keys, and shows them all when ? is pressed. */
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { useServices } from "../lib/services.tsx";
import { type Shortcut, useShortcuts } from "../lib/shortcuts.ts";
import { Dialog } from "../ui/dialog.tsx";

/** Keys that fields and the platform have already. */
const fixed = [
  { keys: ["Enter"], label: "Send a prompt" },
  { keys: ["Shift Enter"], label: "A new line in a prompt" },
];

const shown: Record<string, string> = { Escape: "Esc" };

export function ShortcutKeys() {
  const { shortcuts } = useServices();
  const navigate = useNavigate();
  const [open, setOpen] = useState(false);
  const own: Shortcut[] = [
    { keys: "g s", label: "Go to Sessions", run: () => void navigate({ to: "/" }) },
    { keys: "g i", label: "Go to Images", run: () => void navigate({ to: "/settings/images" }) },
    { keys: "n", label: "New session", run: () => void navigate({ to: "/sessions/new" }) },
    { keys: "?", label: "Show these keys", run: () => setOpen(true) },
  ];
  useShortcuts(own);
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.isComposing || document.querySelector("[role=dialog]") !== null) return;
      if (shortcuts.press(event)) event.preventDefault();
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, [shortcuts]);

  const byLabel = new Map<string, string[]>();
  if (open) {
    for (const { keys, label } of fixed) byLabel.set(label, keys);
    // A page's own keys before the frame's, which were there first.
    const [global, ofPage] = [own, shortcuts.list().filter(({ label }) => own.every((each) => each.label !== label))];
    for (const { keys, label } of [...ofPage, ...global]) byLabel.set(label, [...(byLabel.get(label) ?? []), keys]);
  }
  return (
    <Dialog
      open={open}
      onOpenChange={setOpen}
      title="Keys"
      description="What the keyboard does on this page. Single letters do it while no field has the focus."
    >
      <dl className="mt-4 grid grid-cols-[1fr_auto] gap-y-2 text-sm">
        {[...byLabel].map(([label, keys]) => (
          <div key={label} className="col-span-2 grid grid-cols-subgrid items-center">
            <dt>{label}</dt>
            <dd className="flex justify-end gap-1.5">
              {keys.map((each) => (
                <span key={each} className="flex gap-1">
                  {each.split(" ").map((key) => (
                    <kbd
                      key={key}
                      className="min-w-6 rounded border border-line-strong bg-sunken px-1.5 py-0.5 text-center font-mono text-xs"
                    >
                      {shown[key] ?? key}
                    </kbd>
                  ))}
                </span>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
