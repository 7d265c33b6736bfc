import { sumBy, groupBy } from "lodash-es";
import { z } from "zod";

export const productSchema = z.object({
  id: z.string(),
  name: z.string().min(1),
  department: z.enum(["garden", "kitchen", "workshop"]),
  priceCents: z.number().int().nonnegative(),
  stock: z.number().int().nonnegative(),
});
export type Product = z.infer<typeof productSchema>;

export const products: Product[] = z.array(productSchema).parse([
  { id: "p1", name: "Watering can", department: "garden", priceCents: 2450, stock: 14 },
  { id: "p2", name: "Pruning shears", department: "garden", priceCents: 1890, stock: 31 },
  { id: "p3", name: "Cast iron pan", department: "kitchen", priceCents: 4900, stock: 8 },
  { id: "p4", name: "Bread knife", department: "kitchen", priceCents: 3200, stock: 22 },
  { id: "p5", name: "Block plane", department: "workshop", priceCents: 7600, stock: 5 },
  { id: "p6", name: "Marking gauge", department: "workshop", priceCents: 2900, stock: 12 },
]);

/** Value of the stock by department, in cents. */
export function stockValue(list: Product[]): Record<string, number> {
  const departments = groupBy(list, (product) => product.department);
  return Object.fromEntries(Object.entries(departments).map(([name, items]) => [name, sumBy(items, (p) => p.priceCents * p.stock)]));
}
