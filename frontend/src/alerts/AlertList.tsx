import type { AlertLineFragment } from '../api/generated';
import { alertAddress, assetAddress } from '../lineage/address';
import { StateMark } from '../shell/marks';
import { Link } from '../shell/router';
import { ago, kind, moment } from '../texts';

export function AlertList({
  alerts,
  none,
}: {
  alerts: readonly AlertLineFragment[];
  none: string;
}) {
  if (alerts.length === 0) return <p className="quiet">{none}</p>;
  return (
    <ul className="alert-list">
      {alerts.map((alert) => (
        <li key={alert.id}>
          <StateMark state={alert.state} />
          <div className="what">
            <Link className="title" href={alertAddress(alert.id)}>
              {alert.title}
            </Link>
            <p className="quiet">
              <Link href={assetAddress(alert.about.id)}>
                {kind(alert.about.kind)} {alert.about.title}
              </Link>
              {alert.about.owners.length > 0 &&
                ` · ${alert.about.owners.map((owner) => owner.name).join(', ')}`}
            </p>
          </div>
          <time dateTime={alert.openedAt} title={moment(alert.openedAt)}>
            {ago(alert.openedAt)}
          </time>
        </li>
      ))}
    </ul>
  );
}
