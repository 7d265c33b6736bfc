/** Copies a text and says that it did. */
import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { Button } from "./button.tsx";

const thanksMs = 1500;

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), thanksMs);
    return () => clearTimeout(timer);
  }, [copied]);

  async function copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
    } catch {
      // Refused outside of a secure origin: the text stands beside the button and can be selected.
    }
  }

  return (
    <Button look="ghost" size="icon" aria-label={copied ? "Copied" : label} title={label} onClick={() => void copy()}>
      {copied ? <Check className="text-ok" /> : <Copy />}
    </Button>
  );
}
