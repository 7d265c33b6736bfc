/** Who asks, and how they came to be known: the login with GitHub. Paths are below `/api`. */
import { z } from "zod";
import { personSchema } from "./conversation.ts";

/** `GET /me`, for everybody: who asks, and whether this installation offers the login with GitHub. */
export const meSchema = z.object({
  /** null: nobody is logged in */
  person: personSchema.nullable(),
  /** `github`: logged in; `developer`: whoever is on this machine; null: nobody is logged in */
  via: z.enum(["github", "developer"]).nullable(),
  avatarUrl: z.url().nullable(),
  /** `GET /auth/github` leads to the login */
  canLogIn: z.boolean(),
});
export type Me = z.infer<typeof meSchema>;

/**
 * Why a login came to nothing; the page `/login?error=…` says it. `denied`: the person said no at GitHub. `expired`: it took too long, or did
 * not begin here. `not_allowed`: GitHub knows them, this installation does not. `github_unavailable`: GitHub did not answer.
 */
export const loginErrors = ["denied", "expired", "not_allowed", "github_unavailable"] as const;
export type LoginError = (typeof loginErrors)[number];

/** `POST /auth/logout`: whether somebody was logged in. */
export const loggedOutSchema = z.object({ loggedOut: z.boolean() });
export type LoggedOut = z.infer<typeof loggedOutSchema>;
