import { scaleOrdinal, schemeTableau10 } from "d3";
import { format, subDays } from "date-fns";
import { Area, AreaChart, CartesianGrid, Tooltip, XAxis, YAxis } from "recharts";
import { products, stockValue } from "./catalogue";

const colour = scaleOrdinal(schemeTableau10);

export function SalesChart() {
  const departments = Object.entries(stockValue(products));
  const days = Array.from({ length: 14 }, (_, index) => ({
    day: format(subDays(new Date(2026, 0, 15), 14 - index), "d MMM"),
    ...Object.fromEntries(departments.map(([name, cents], offset) => [name, (cents / 100) * (1 + Math.sin(index + offset) / 4)])),
  }));
  return (
    <AreaChart width={720} height={280} data={days}>
      <CartesianGrid strokeDasharray="3 3" />
      <XAxis dataKey="day" />
      <YAxis />
      <Tooltip />
      {departments.map(([name]) => (
        <Area key={name} type="monotone" dataKey={name} stackId="stock" stroke={colour(name)} fill={colour(name)} />
      ))}
    </AreaChart>
  );
}
