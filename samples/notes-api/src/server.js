import { createServer } from "node:http";
import { createNotes } from "./notes.js";

const notes = createNotes();
createServer((request, response) => {
  if (request.method === "GET" && request.url === "/notes") {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(notes.list()));
    return;
  }
  response.statusCode = 404;
  response.end();
}).listen(Number(process.env.PORT ?? 3000));
