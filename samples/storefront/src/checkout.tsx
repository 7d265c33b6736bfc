import { zodResolver } from "@hookform/resolvers/zod";
import ShoppingCartIcon from "@mui/icons-material/ShoppingCart";
import { Button, Stack, TextField } from "@mui/material";
import DOMPurify from "dompurify";
import { marked } from "marked";
import { nanoid } from "nanoid";
import { useForm } from "react-hook-form";
import { useTranslation } from "react-i18next";
import { z } from "zod";

const order = z.object({ email: z.email(), note: z.string().max(500) });
type Order = z.infer<typeof order>;

export function Checkout({ onOrder }: { onOrder(id: string): void }) {
  const { t } = useTranslation();
  const form = useForm<Order>({ resolver: zodResolver(order), defaultValues: { email: "", note: "" } });
  const preview = DOMPurify.sanitize(marked.parse(form.watch("note"), { async: false }));
  return (
    <form onSubmit={form.handleSubmit(() => onOrder(nanoid()))}>
      <Stack spacing={2}>
        <TextField label={t("email")} {...form.register("email")} error={Boolean(form.formState.errors.email)} />
        <TextField label={t("note")} multiline {...form.register("note")} />
        <div dangerouslySetInnerHTML={{ __html: preview }} />
        <Button type="submit" variant="contained" startIcon={<ShoppingCartIcon />}>
          {t("order")}
        </Button>
      </Stack>
    </form>
  );
}
