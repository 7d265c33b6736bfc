/** Buttons, and links that look like them. */
import { cva, type VariantProps } from "class-variance-authority";
import { Slot } from "radix-ui";
import { type ComponentProps } from "react";
import { cn } from "../lib/cn.ts";

const buttonStyles = cva(
  "inline-flex shrink-0 select-none items-center justify-center gap-1.5 whitespace-nowrap rounded-md font-medium transition-colors disabled:cursor-not-allowed disabled:opacity-50 [&_svg]:size-4 [&_svg]:shrink-0",
  {
    variants: {
      look: {
        solid: "bg-solid text-on-solid hover:bg-solid/85",
        outline: "border border-line-strong bg-raised text-fg shadow-card hover:bg-hover",
        ghost: "text-muted hover:bg-hover hover:text-fg",
      },
      size: {
        md: "h-9 px-3.5 text-sm",
        sm: "h-8 px-2.5 text-sm",
        icon: "size-8",
      },
    },
    defaultVariants: { look: "outline", size: "sm" },
  },
);

type ButtonProps = ComponentProps<"button"> & VariantProps<typeof buttonStyles> & { asChild?: boolean };

/** With `asChild` its child element takes on the look, which is how a link becomes one. */
export function Button({ look, size, className, asChild = false, type = "button", ...props }: ButtonProps) {
  const styles = cn(buttonStyles({ look, size }), className);
  if (asChild) return <Slot.Root className={styles} {...props} />;
  return <button type={type} className={styles} {...props} />;
}
