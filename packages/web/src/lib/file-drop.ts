/** Files dragged over the page, wherever they are let go: without this the browser leaves the page for them. Knows no page. */
import { useEffect, useRef } from "react";

interface FileDrop {
  /** files are over the page, or no longer */
  onOver: (over: boolean) => void;
  onFiles: (files: readonly File[]) => void;
}

const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;

/** @param drop null: files are kept from replacing the page, and nothing else happens */
export function useFileDrop(drop: FileDrop | null): void {
  const latest = useRef(drop);
  useEffect(() => {
    latest.current = drop;
  });
  useEffect(() => {
    const onDragOver = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      latest.current?.onOver(true);
    };
    // It has left the window: between elements there is always another one.
    const onDragLeave = (event: DragEvent) => {
      if (event.relatedTarget === null) latest.current?.onOver(false);
    };
    const onDrop = (event: DragEvent) => {
      latest.current?.onOver(false);
      if (!hasFiles(event)) return;
      event.preventDefault();
      latest.current?.onFiles([...(event.dataTransfer?.files ?? [])]);
    };
    addEventListener("dragover", onDragOver);
    addEventListener("dragleave", onDragLeave);
    addEventListener("drop", onDrop);
    return () => {
      removeEventListener("dragover", onDragOver);
      removeEventListener("dragleave", onDragLeave);
      removeEventListener("drop", onDrop);
    };
  }, []);
}
