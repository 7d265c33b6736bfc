/** A dialog over the page, by Radix: it holds the focus, Escape and a click beside it close it. */
import { X } from "lucide-react";
import { Dialog as Radix } from "radix-ui";
import { type ReactNode, useRef } from "react";
import { Button } from "./button.tsx";

interface DialogProps {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  title: ReactNode;
  /** one or two sentences, read with the title */
  description: ReactNode;
  children: ReactNode;
}

export function Dialog({ open, onOpenChange, title, description, children }: DialogProps) {
  const before = useRef<Element | null>(null);
  return (
    <Radix.Root open={open} onOpenChange={onOpenChange}>
      <Radix.Portal>
        <Radix.Overlay className="fixed inset-0 z-30 bg-black/40" />
        <Radix.Content
          onOpenAutoFocus={() => {
            before.current = document.activeElement;
          }}
          onCloseAutoFocus={(event) => {
            event.preventDefault();
            // What opened it may be gone by what was done in it: the page's content then, never the top of the document.
            const opener = before.current?.isConnected ? before.current : document.getElementById("content");
            if (opener instanceof HTMLElement) opener.focus({ preventScroll: true });
          }}
          className="fixed top-1/2 left-1/2 z-40 max-h-[calc(100dvh-2rem)] w-[calc(100vw-2rem)] max-w-md -translate-x-1/2 -translate-y-1/2 overflow-y-auto rounded-lg border border-line-strong bg-raised p-5 text-fg shadow-pop outline-none"
        >
          <Radix.Title className="pr-8 font-semibold text-lg">{title}</Radix.Title>
          <Radix.Description className="mt-1 text-muted text-sm">{description}</Radix.Description>
          {children}
          <Radix.Close asChild>
            <Button look="ghost" size="icon" aria-label="Close" className="absolute top-3.5 right-3.5">
              <X aria-hidden="true" />
            </Button>
          </Radix.Close>
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
