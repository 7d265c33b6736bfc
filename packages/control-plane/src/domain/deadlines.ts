/** Every limit of the control plane in one place. Pure numbers; what is set per installation comes from `env.ts`. */
import { heartbeatLostMs } from "@open-inspect/protocol";

const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const dayMs = 24 * 60 * minuteMs;

export const deadlines = {
  /** between two creates while the gateway builds the base image; it holds each of them for a while itself */
  basePollMs: 3 * secondMs,
  /** a provider without capacity is asked again for so long, with pauses between these two and as much jitter */
  busyMs: 10 * minuteMs,
  busyFirstMs: secondMs,
  busyMaxMs: 20 * secondMs,
  /** from the accepted start call until the runtime's first hello */
  connectMs: 60 * secondMs,
  /** no frame on the bridge for this long: the sandbox is lost */
  bridgeSilentMs: heartbeatLostMs,
  /** a socket that closed is most often a sandbox that died: look soon */
  pollAfterCloseMs: 2 * secondMs,
  pollWhileClosedMs: 5 * secondMs,
  /** a socket that has not come back by then: see whether the runtime is still there to dial */
  runtimeAwayMs: 10 * secondMs,
  pollWhileConnectingMs: 10 * secondMs,
  pollMs: 30 * secondMs,
  /** an alarm that fires this much after its time means that we were down, not the sandbox */
  lateMs: 10 * secondMs,
  /** what everybody is given anew after an outage of our own */
  graceMs: heartbeatLostMs,
  /** reading the runtime's own log before a build or start is given up */
  diagnoseMs: 15 * secondMs,
  /** while an effect is under way the alarm is never further away: it is what wakes an object whose process was killed in it */
  lookAgainMs: 10 * secondMs,
  snapshotMs: 600 * secondMs,
  /** the snapshot with its retries, as the state machine sees it */
  snapshotLimitMs: 1_260 * secondMs,
  /** from the snapshot until the candidate is proved */
  verifyLimitMs: 6 * minuteMs,
  /** `.openinspect/verify.sh` */
  verifyHookMs: 3 * minuteMs,
  /** a build that waits for its slot asks again, should the answer have been lost */
  slotAskAgainMs: 5 * minuteMs,
  /** a build that got its slot and could not be told is told again */
  slotTellAgainMs: 5 * secondMs,
  /** above the longest build with its retries: a slot that is older has been forgotten */
  slotLifeMs: 4 * 60 * minuteMs,
  /** a full build at least this often */
  fullRebuildMs: dayMs,
  /** builds of one commit that fail for a reason of their own: the pause after the second, and the longest one */
  retryFirstMs: 60 * minuteMs,
  retryMaxMs: dayMs,
  /** between two looks at a sandbox without an owner before it is ended */
  strayGraceMs: 10 * minuteMs,
  /** images of a repository that was switched off are kept for this long */
  dormantMs: dayMs,
  /** between two looks whether an image that is to be deleted still has running sessions */
  imageInUseMs: 5 * minuteMs,
  /** what a build's sandbox lives beyond its build limit and snapshot budget */
  sandboxMarginMs: 5 * minuteMs,
  /** the provider's longest is 24 hours */
  sessionLifetimeMs: 24 * 60 * minuteMs - 5 * minuteMs,
  /** a session's sandbox of this age is changed for a new one as soon as nothing runs in it */
  moveIdleMs: 23 * 60 * minuteMs,
  /** and at this age in any case: the snapshot still has its time before the provider's end */
  moveMs: 23.5 * 60 * minuteMs,
  /** between the abort of a prompt and the snapshot: what the agent had in hand comes to rest */
  settleMs: secondMs,
  sessionSnapshotTtlMs: 30 * dayMs,
  /** the snapshot of an archived session is kept for this long */
  archivedSnapshotMs: 7 * dayMs,
  /** `failuresInARow` of a session within this time are too many; being ready for so long makes up for earlier ones */
  failuresWindowMs: 10 * minuteMs,
  /** failures of a session that are further apart have nothing to do with one another */
  failuresForgottenMs: dayMs,
  /** between the shutdown sent over the bridge and the end of the sandbox */
  shutdownGraceMs: 500,
  /** after this a stopping session is called stopped; its sandbox stays owed */
  stopLimitMs: 15 * secondMs,
  /** a sandbox of a warm pool is replaced when it has stood for so long: whoever gets one has the most of its lifetime before them */
  poolMemberMs: 60 * minuteMs,
  /** a member that was given away and that no session has claimed by then is ended */
  poolTakenMs: 30 * secondMs,
  /** between a member that failed and the next one; doubles */
  poolRetryFirstMs: 10 * secondMs,
  poolRetryMaxMs: 10 * minuteMs,
  /** a sandbox reserved while somebody types lives so long after the last keystroke that told of itself */
  reservationMs: 2 * minuteMs,
  gitMs: 5 * minuteMs,
  startHookMs: 2 * minuteMs,
  imageTtlMs: 30 * dayMs,
  /** an image that ends sooner than this is rebuilt by the next tick */
  imageRenewMs: 3 * dayMs,
  /** an image that ends sooner than this is not used any more */
  imageUseMarginMs: 5 * minuteMs,
  /** between two looks for sandboxes whose create never answered */
  sweepPauseMs: 45 * secondMs,
  /** a prompt that was to be stopped and did not say that it ended is stopped then, whatever its sandbox says later */
  promptStopMs: 5 * secondMs,
  /** between two tellings of what a running prompt costs */
  usageRestMs: secondMs,
  /** how exactly it is kept when a session's agent last said something */
  activeStepMs: 15 * secondMs,
  /** events of a sandbox that come within this time are stored, acknowledged and told together */
  bridgeBatchMs: 4,
  /** a sign of life for whoever stands between a log's reader and us */
  streamHeartbeatMs: 15 * secondMs,
  /** after this the reader of a log comes back when its connection was cut */
  streamRetryMs: secondMs,
  /** one post of a notification */
  notificationPostMs: 10 * secondMs,
  /** what became of notifications is kept for this long */
  deliveriesKeptMs: 30 * dayMs,
  /** from the push that is asked for until its answer; a large push of a slow sandbox fits */
  pushMs: 3 * minuteMs,
  /** opening a pull request with its retries */
  pullOpenMs: 90 * secondMs,
  /** whoever looks at a session with an open pull request has GitHub asked again at most this often */
  pullLookMs: 5 * minuteMs,
  /** a request for a pull request is answered with what is under way after this */
  pullAnswerMs: 25 * secondMs,
  /** a session that was begun by another one counts as one at work for so long though no row tells of it */
  subSessionUnseenMs: minuteMs,
  repositorySyncMs: 15 * secondMs,
  /** a login, from the cookie's first day */
  loginMs: 30 * dayMs,
  /** from leaving for GitHub until the return */
  loginReturnMs: 10 * minuteMs,
  /** GitHub is asked whether a person may still be here: behind a request, then before it; when it does not answer its last word holds so long */
  accessRecheckMs: 50 * minuteMs,
  accessHoldsMs: 60 * minuteMs,
  accessUnprovenMs: 4 * 60 * minuteMs,
  /** a person's token is renewed when it has less than this left */
  tokenRenewMs: 5 * minuteMs,
  /** a browser's socket or stream of this age is told nothing more: it comes back, and whoever it is then is looked at anew */
  viewerLifeMs: 60 * minuteMs,
  /** one request speaks with GitHub for a person so long at most; others wait for it this long; a failure is followed by this pause */
  personTurnMs: minuteMs,
  personWaitMs: 15 * secondMs,
  personPauseMs: minuteMs,
  githubRequestMs: 10 * secondMs,
  modelRequestMs: 10 * minuteMs,
} as const;

export const limits = {
  buildCpu: 2,
  buildMemoryMiB: 4_096,
  sessionCpu: 2,
  sessionMemoryMiB: 4_096,
  /** snapshots on top of a full build */
  chainDepth: 10,
  /** the part of a build's limit after which its log is told */
  warnAtShare: 0.8,
  /** failures of a session within `failuresWindowMs` after which it does not start by itself any more */
  failuresInARow: 3,
  /** the same, however far apart, when the session was never up for that long in between */
  failuresWithoutRest: 6,
  /** starts from a session's own snapshot before something older is taken */
  snapshotStarts: 2,
  /** lines of the runtime's own log that a failure carries */
  diagnosisLines: 40,
  /** looks for a sandbox whose create never answered */
  sweepPasses: 3,
  /** stored log of one build or session; the middle is left out, beginning and end stay */
  logHeadBytes: 1024 * 1024,
  logTailBytes: 3 * 1024 * 1024,
  /** pages of a log that one download reads */
  logPages: 64,
  notificationTargets: 20,
  /** members that fail one after the other before a pool is not filled any more */
  poolFillTries: 5,
  /** members of one pool, those that are being ended included */
  poolMembers: 12,
  /** sandboxes reserved while typing, of one person and of everybody */
  reservationsPerPerson: 3,
  reservations: 20,
  /** sessions that agents begin: levels below the first, those below one first session in all, and those of them that are at work */
  subSessionDepth: 2,
  subSessions: 20,
  subSessionsAtWork: 5,
  /** builds of one repository whose log is kept */
  logsKept: 20,
  requestBodyBytes: 1024 * 1024,
  /** of requests that bring attachments: five of the largest in base64 beside the longest prompt */
  promptBodyBytes: 22 * 1024 * 1024,
  webhookBodyBytes: 8 * 1024 * 1024,
  modelBodyBytes: 32 * 1024 * 1024,
  headsPerRequest: 100,
  /** repositories that are read, decided and written at once; the requests for their heads run side by side */
  headsPerPage: 500,
  /** pages of one message of the queue */
  pagesPerMessage: 4,
  /** image objects that a tick speaks to at once */
  wakesAtOnce: 16,
  /** requests that a tick leaves of an installation's hourly allowance, at most a tenth of it */
  githubReserve: 500,
  /** GitHub refuses for a while and does not say for how long */
  githubBlindWaitMs: 60_000,
  /** heads that one message reads one by one while GraphQL does not answer */
  singleHeadsPerMessage: 100,
  /** repositories that one message asks for by name because they are not where they were */
  lookUpsPerMessage: 20,
  /** sandboxes, images and repositories that one tick clears away, of each */
  sweptPerTick: 50,
  /** comparisons of commits that run side by side */
  comparesAtOnce: 4,
  /** browsers that one person is logged in with; one more ends the oldest */
  loginsPerPerson: 10,
  /** pages of a person's installations that are looked through, a hundred each */
  installationPages: 4,
} as const;

/** Multiples of a second are what the provider takes. */
export const wholeSeconds = (ms: number): number => Math.ceil(ms / secondMs) * secondMs;

/** How late a deadline is: `late` says that nobody was awake to look, so whoever is waited for gets a new chance. */
export function evaluateDeadline(deadlineAt: number, now: number): "pending" | "due" | "late" {
  if (now < deadlineAt) return "pending";
  return now - deadlineAt > deadlines.lateMs ? "late" : "due";
}
