/** A person as initials in a circle, coloured by name, so that the same person looks the same everywhere; or as their picture. */
import { type Person } from "@open-inspect/protocol";
import { useState } from "react";
import { cn } from "../lib/cn.ts";

function initialsOf(name: string): string {
  const words = name.split(/[\s._@-]+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : [words[0]];
  return (
    letters
      .map((word) => [...(word ?? "")][0] ?? "")
      .join("")
      .toUpperCase() || "?"
  );
}

/** Hues far from one another for names that are alike. */
function hueOf(name: string): number {
  let sum = 7;
  for (const character of name) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 9_973;
  return Math.round((sum * 137.5) % 360);
}

function colourOf(name: string) {
  const hue = hueOf(name);
  return {
    backgroundColor: `light-dark(oklch(0.92 0.05 ${hue}), oklch(0.34 0.06 ${hue}))`,
    color: `light-dark(oklch(0.4 0.1 ${hue}), oklch(0.88 0.08 ${hue}))`,
  };
}

/** The one place outside that the Content-Security-Policy lets pictures come from. */
const pictures = "https://avatars.githubusercontent.com/";

interface AvatarProps {
  person: Person;
  /** shown when it is there and may be: the initials are there before */
  imageUrl?: string | null;
  className?: string;
}

export function Avatar({ person, imageUrl = null, className }: AvatarProps) {
  const [isLost, setIsLost] = useState(false);
  const shown = imageUrl?.startsWith(pictures) === true && !isLost ? imageUrl : null;
  return (
    <span
      aria-hidden="true"
      title={person.login === null ? person.name : `${person.name} (${person.login})`}
      style={colourOf(person.name)}
      className={cn(
        "relative inline-flex size-6 shrink-0 select-none items-center justify-center overflow-hidden rounded-full font-semibold text-[0.625rem]",
        className,
      )}
    >
      {initialsOf(person.name)}
      {shown === null ? null : (
        <img src={shown} alt="" onError={() => setIsLost(true)} className="absolute inset-0 size-full object-cover" />
      )}
    </span>
  );
}
