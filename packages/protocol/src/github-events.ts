/** `POST /webhooks/github`: what of GitHub's events is read. Other events and fields are ignored. */
import { z } from "zod";

const namesSchema = z.array(z.string()).optional();
const installationSchema = z.object({ id: z.number().int() });

export const githubPushSchema = z.object({
  ref: z.string(),
  before: z.string().optional(),
  after: z.string(),
  deleted: z.boolean().optional(),
  forced: z.boolean().optional(),
  /** at most 2,048 */
  commits: z.array(z.object({ added: namesSchema, removed: namesSchema, modified: namesSchema })).optional(),
  head_commit: z
    .object({
      id: z.string(),
      message: z.string(),
      author: z.object({ name: z.string(), username: z.string().nullish() }),
    })
    .nullish()
    .catch(null),
  repository: z.object({
    name: z.string(),
    owner: z.object({ login: z.string() }),
    default_branch: z.string(),
    /** seconds since the epoch */
    pushed_at: z.union([z.number(), z.string()]).nullish(),
  }),
});
export type GithubPush = z.infer<typeof githubPushSchema>;

export const githubRepositoryEventSchema = z.object({
  action: z.string(),
  repository: z.object({
    id: z.number().int(),
    name: z.string(),
    owner: z.object({ login: z.string() }),
    default_branch: z.string().nullish(),
    private: z.boolean(),
    clone_url: z.string(),
    archived: z.boolean().optional(),
  }),
  changes: z
    .object({
      repository: z.object({ name: z.object({ from: z.string() }) }).optional(),
      owner: z
        .object({
          from: z.object({
            user: z.object({ login: z.string() }).nullish(),
            organization: z.object({ login: z.string() }).nullish(),
          }),
        })
        .optional(),
    })
    .optional(),
  installation: installationSchema.optional(),
});
export type GithubRepositoryEvent = z.infer<typeof githubRepositoryEventSchema>;

/** What of a `pull_request` event is read. Times are GitHub's, in whole seconds. */
export const githubPullRequestEventSchema = z.object({
  action: z.string(),
  number: z.number().int().positive(),
  pull_request: z.object({
    html_url: z.url(),
    state: z.enum(["open", "closed"]),
    draft: z.boolean().optional(),
    merged: z.boolean().nullish(),
    merged_at: z.string().nullish(),
    title: z.string(),
    updated_at: z.iso.datetime({ offset: true }),
    head: z.object({ ref: z.string() }),
    user: z.object({ login: z.string(), type: z.string().optional() }).nullish(),
  }),
  repository: z.object({ name: z.string(), owner: z.object({ login: z.string() }) }),
});
export type GithubPullRequestEvent = z.infer<typeof githubPullRequestEventSchema>;

export const githubInstallationEventSchema = z.object({ action: z.string(), installation: installationSchema });

/** A person takes back what they have allowed the App to do in their name. GitHub sends it to every App. */
export const githubAppAuthorizationSchema = z.object({
  action: z.string(),
  sender: z.object({ id: z.number().int().positive() }),
});

export const githubInstallationRepositoriesSchema = z.object({
  action: z.string(),
  installation: installationSchema,
  repositories_removed: z.array(z.object({ full_name: z.string() })).default([]),
});
