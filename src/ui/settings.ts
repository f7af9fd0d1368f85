import * as vscode from 'vscode';
import { DEFAULT_SETTINGS, type EngineSettings } from '../session/host';

const SECTION = 'bulkhead';
const MEGABYTE = 1024 * 1024;

/** Every setting of package.json, with the type and the default of its value. The manifest test compares both. */
export const SETTING_DEFAULTS = {
  'git.path': '',
  'sessions.root': '',
  'clone.objects': DEFAULT_SETTINGS.cloneObjects,
  'snapshot.maxFileSize': DEFAULT_SETTINGS.maxFileSize / MEGABYTE,
  'filters.allowed': DEFAULT_SETTINGS.allowedFilters,
  'capture.quietPeriod': DEFAULT_SETTINGS.quietMs,
  'capture.maxWait': DEFAULT_SETTINGS.maxWaitMs,
  'workspace.enabled': DEFAULT_SETTINGS.captureWorkspace,
  'contention.exclude': DEFAULT_SETTINGS.contentionExclude,
  'include.files': DEFAULT_SETTINGS.includeFiles,
  'store.fsync': DEFAULT_SETTINGS.fsync,
} as const;

export type SettingName = keyof typeof SETTING_DEFAULTS;

export interface Settings {
  /** Null: git is searched on the PATH. */
  readonly gitPath: string | null;
  readonly engine: EngineSettings;
}

/** Reads all settings. A value of the wrong type, as a person may write it by hand, counts as its default. */
export function readSettings(): Settings {
  const configuration = vscode.workspace.getConfiguration(SECTION);
  const text = (name: SettingName): string | null => {
    const value = configuration.get<unknown>(name);
    return typeof value === 'string' && value.trim() !== '' ? value.trim() : null;
  };
  const number = (name: SettingName, fallback: number): number => {
    const value = configuration.get<unknown>(name);
    return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : fallback;
  };
  const flag = (name: SettingName, fallback: boolean): boolean => {
    const value = configuration.get<unknown>(name);
    return typeof value === 'boolean' ? value : fallback;
  };
  const list = (name: SettingName, fallback: readonly string[]): readonly string[] => {
    const value = configuration.get<unknown>(name);
    return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : fallback;
  };
  return {
    gitPath: text('git.path'),
    engine: {
      sessionsRoot: text('sessions.root'),
      cloneObjects: text('clone.objects') === 'copy' ? 'copy' : 'hardlink',
      maxFileSize: number('snapshot.maxFileSize', SETTING_DEFAULTS['snapshot.maxFileSize']) * MEGABYTE,
      allowedFilters: list('filters.allowed', SETTING_DEFAULTS['filters.allowed']),
      quietMs: number('capture.quietPeriod', SETTING_DEFAULTS['capture.quietPeriod']),
      maxWaitMs: number('capture.maxWait', SETTING_DEFAULTS['capture.maxWait']),
      captureWorkspace: flag('workspace.enabled', SETTING_DEFAULTS['workspace.enabled']),
      contentionExclude: list('contention.exclude', SETTING_DEFAULTS['contention.exclude']),
      includeFiles: list('include.files', SETTING_DEFAULTS['include.files']),
      fsync: flag('store.fsync', SETTING_DEFAULTS['store.fsync']),
    },
  };
}

export function affectsSettings(event: vscode.ConfigurationChangeEvent): boolean {
  return event.affectsConfiguration(SECTION);
}
