/** Tells zod not to compile its parsers with `new Function`, which the Content-Security-Policy refuses. Import it before any schema. */
import { config } from "zod";

config({ jitless: true });
