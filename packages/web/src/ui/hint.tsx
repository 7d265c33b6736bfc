/** What to do, in words; where it names Settings > Images, the words lead there. */
import { Link } from "@tanstack/react-router";
import { Fragment } from "react";

const place = "Settings > Images";

export function Hint({ text }: { text: string }) {
  return text.split(place).map((piece, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: the pieces of a sentence keep their places
    <Fragment key={index}>
      {index === 0 ? null : (
        <Link to="/settings/images" className="text-link">
          {place}
        </Link>
      )}
      {piece}
    </Fragment>
  ));
}
