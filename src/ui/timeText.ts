import type { Localizer } from './localizer';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A short age for a tree row. It is drawn anew once a minute, so seconds are not told. */
export function ageText(l10n: Localizer, time: number, now: number): string {
  const age = Math.max(0, now - time);
  if (age < MINUTE) {
    return l10n.t('now');
  }
  if (age < HOUR) {
    return l10n.t('{0} min', Math.floor(age / MINUTE));
  }
  if (age < DAY) {
    return l10n.t('{0} h', Math.floor(age / HOUR));
  }
  if (age < 14 * DAY) {
    return l10n.t('{0} d', Math.floor(age / DAY));
  }
  return l10n.t('{0} wk', Math.floor(age / (7 * DAY)));
}

/** The same age in words, for screen readers and tooltips. */
export function ageSentence(l10n: Localizer, time: number, now: number): string {
  const age = Math.max(0, now - time);
  if (age < MINUTE) {
    return l10n.t('just now');
  }
  if (age < HOUR) {
    const minutes = Math.floor(age / MINUTE);
    return minutes === 1 ? l10n.t('1 minute ago') : l10n.t('{0} minutes ago', minutes);
  }
  if (age < DAY) {
    const hours = Math.floor(age / HOUR);
    return hours === 1 ? l10n.t('1 hour ago') : l10n.t('{0} hours ago', hours);
  }
  const days = Math.floor(age / DAY);
  return days === 1 ? l10n.t('1 day ago') : l10n.t('{0} days ago', days);
}

export interface TimeFormat {
  readonly locale: string;
  /** Absent: the zone of this machine. */
  readonly timeZone?: string;
}

/** The time of day; with the date when that is another day than `now`. */
export function clockText(
  format: TimeFormat,
  time: number,
  now: number,
  options: { readonly seconds?: boolean } = {},
): string {
  const zone = format.timeZone === undefined ? {} : { timeZone: format.timeZone };
  const day = new Intl.DateTimeFormat(format.locale, { dateStyle: 'short', ...zone });
  const clock = new Intl.DateTimeFormat(format.locale, {
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
    ...(options.seconds === true ? { second: '2-digit' } : {}),
    ...zone,
  });
  const text = clock.format(time);
  return day.format(time) === day.format(now) ? text : `${day.format(time)} ${text}`;
}

export function fullTimeText(format: TimeFormat, time: number): string {
  const zone = format.timeZone === undefined ? {} : { timeZone: format.timeZone };
  return new Intl.DateTimeFormat(format.locale, { dateStyle: 'full', timeStyle: 'medium', ...zone }).format(time);
}
