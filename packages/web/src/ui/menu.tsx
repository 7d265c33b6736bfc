/** A button that unfolds a panel of links and buttons: Escape, a click beside it and leaving it with Tab fold it again. */
import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import { cn } from "../lib/cn.ts";

interface MenuProps {
  /** what the button is called; undefined where its content says it */
  label?: string;
  trigger: ReactNode;
  triggerClassName: string;
  /** where the panel stands */
  panelClassName: string;
  children: ReactNode;
}

export function Menu({ label, trigger, triggerClassName, panelClassName, children }: MenuProps) {
  const id = useId();
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return;
    const onPointerDown = (event: PointerEvent) => {
      if (!(event.target instanceof Node) || root.current?.contains(event.target) !== true) setOpen(false);
    };
    // Before the page's own keys, wherever the focus is: some browsers give it to no button that is pressed.
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      setOpen(false);
      button.current?.focus();
    };
    addEventListener("pointerdown", onPointerDown);
    addEventListener("keydown", onKeyDown, { capture: true });
    return () => {
      removeEventListener("pointerdown", onPointerDown);
      removeEventListener("keydown", onKeyDown, { capture: true });
    };
  }, [open]);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it only hears that the focus has left
    <div
      ref={root}
      className="relative"
      onBlur={(event) => {
        if (event.relatedTarget !== null && root.current?.contains(event.relatedTarget) !== true) setOpen(false);
      }}
    >
      <button
        ref={button}
        type="button"
        aria-label={label}
        aria-expanded={open}
        aria-controls={id}
        onClick={() => setOpen(!open)}
        className={triggerClassName}
      >
        {trigger}
      </button>
      <div
        id={id}
        hidden={!open}
        className={cn("absolute z-30 rounded-lg border border-line-strong bg-raised p-1 shadow-pop", panelClassName)}
      >
        {children}
      </div>
    </div>
  );
}
