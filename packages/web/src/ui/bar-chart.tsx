/** A small bar chart: one bar per value, oldest first. Said to screen readers in one sentence; the page offers the numbers as a table. */
import { type ReactNode } from "react";

export interface Bar {
  key: string;
  /** null leaves a gap: it was not measured */
  value: number | null;
  /** shown on hover */
  title: string;
  /** the class that fills it */
  fill: string;
}

interface BarChartProps {
  title: ReactNode;
  /** the chart in one sentence */
  label: string;
  bars: readonly Bar[];
  format: (value: number) => string;
}

const width = 300;
const height = 96;
/** A measured value is seen however small it is beside the others. */
const shortest = 1.5;
/** Few bars stay bars, and do not become walls. */
const widest = 18;

export function BarChart({ title, label, bars, format }: BarChartProps) {
  const most = Math.max(1, ...bars.map((bar) => bar.value ?? 0));
  const pitch = Math.min(widest, width / Math.max(1, bars.length));
  return (
    <figure className="min-w-0">
      <figcaption className="flex items-baseline justify-between gap-3 text-sm">
        <span className="text-muted">{title}</span>
        <span aria-hidden="true" className="text-faint text-xs">
          up to {format(most)}
        </span>
      </figcaption>
      <svg
        role="img"
        aria-label={label}
        viewBox={`0 0 ${width} ${height}`}
        preserveAspectRatio="none"
        className="mt-1.5 block h-24 w-full overflow-visible"
      >
        {[0, 0.5, 1].map((share) => (
          <line
            key={share}
            x1={0}
            x2={width}
            y1={height * share}
            y2={height * share}
            vectorEffect="non-scaling-stroke"
            className="stroke-line"
          />
        ))}
        {bars.map((bar, index) => {
          if (bar.value === null) return null;
          const tall = Math.max(shortest, (bar.value / most) * height);
          return (
            <rect
              key={bar.key}
              x={index * pitch + pitch * 0.12}
              width={pitch * 0.76}
              y={height - tall}
              height={tall}
              className={bar.fill}
            >
              <title>{bar.title}</title>
            </rect>
          );
        })}
      </svg>
    </figure>
  );
}
