/** The plugin for OpenCode as text: the bundler puts it here, so that the runtime stays one file. */

declare const agentPluginSource: string;
export const agentPlugin: string = agentPluginSource;
