import styled from "@emotion/styled";
import { createColumnHelper, flexRender, getCoreRowModel, useReactTable } from "@tanstack/react-table";
import { motion } from "framer-motion";
import { Plus } from "lucide-react";
import { useDispatch } from "react-redux";
import { added, useView } from "./cart";
import { products, type Product } from "./catalogue";

const Table = styled.table({ borderCollapse: "collapse", "td, th": { padding: 8, textAlign: "left" } });
const column = createColumnHelper<Product>();
const columns = [
  column.accessor("name", { header: "Product" }),
  column.accessor("department", { header: "Department" }),
  column.accessor("priceCents", { header: "Price", cell: (cell) => (cell.getValue() / 100).toFixed(2) }),
  column.accessor("stock", { header: "Stock" }),
];

export function StockTable() {
  const dispatch = useDispatch();
  const department = useView((view) => view.department);
  const data = products.filter((product) => department === null || product.department === department);
  const table = useReactTable({ data, columns, getCoreRowModel: getCoreRowModel() });
  return (
    <Table>
      <tbody>
        {table.getRowModel().rows.map((row) => (
          <motion.tr key={row.id} layout>
            {row.getVisibleCells().map((cell) => (
              <td key={cell.id}>{flexRender(cell.column.columnDef.cell, cell.getContext())}</td>
            ))}
            <td>
              <button type="button" onClick={() => dispatch(added(row.original.id))} aria-label={`Add ${row.original.name}`}>
                <Plus size={16} />
              </button>
            </td>
          </motion.tr>
        ))}
      </tbody>
    </Table>
  );
}
