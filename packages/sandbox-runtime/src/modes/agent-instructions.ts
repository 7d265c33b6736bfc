/** What every agent is told of the sandbox that it works in, besides what the repository tells it. Pure text. */

export const agentInstructions = `# Your sandbox

You work in a sandbox of Open-Inspect, on a clone of the repository. People read your answers and a live diff of the workspace in their browser.

- Reading is possible at once. Commands and edits may wait a moment at the beginning, until the workspace is on the branch's newest commit.
- \`git fetch\` and \`git pull\` work. \`git push\` does not: you may read the repository on the server but not write to it. When the work is to be
  shared, say so at the end of your answer: the person opens a pull request with the session's button, which commits and pushes everything for them.
- Commits carry the name of the person who asked you. Leave git's user settings alone.
- Nobody is there to answer a question while you work: decide, and say what you decided.
`;
