BEGIN TRANSACTION;
CREATE TABLE firings (
    rule TEXT NOT NULL, digest TEXT NOT NULL, subject TEXT NOT NULL, job TEXT NOT NULL UNIQUE,
    inputs TEXT NOT NULL, chain TEXT NOT NULL, depth INTEGER NOT NULL, time REAL NOT NULL,
    PRIMARY KEY (rule, digest)
) WITHOUT ROWID;
INSERT INTO "firings" VALUES('smooth','instances','subject','done','{"": "aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa"}','["smooth"]',1,1767323045.0);
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    series, request, image, subject, digest, created, priority, state, attempt, progress, next_try, started, completed, runtime, dirty, problem, result, lost
);
INSERT INTO "jobs" VALUES(1,'done','aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa','{"Pipeline": "gaussian_smoothing", "Parameters": {"SigmaMm": 2.0}}',NULL,'subject','digest',1767323045.0,0,'Success',1,100,0.0,NULL,1767323050.0,0.0,0,NULL,'{"ID": "bbbbbbbb-bbbbbbbb-bbbbbbbb-bbbbbbbb-bbbbbbbb", "SeriesInstanceUID": "2.25.1", "InstancesCount": 3, "ParentSeries": "aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa", "Warnings": ["a warning of \u00e4"], "Path": "/series/bbbbbbbb-bbbbbbbb-bbbbbbbb-bbbbbbbb-bbbbbbbb", "Series": [{"Output": "result", "ID": "bbbbbbbb-bbbbbbbb-bbbbbbbb-bbbbbbbb-bbbbbbbb", "Path": "/series/bbbbbbbb-bbbbbbbb-bbbbbbbb-bbbbbbbb-bbbbbbbb", "SeriesInstanceUID": "2.25.1", "InstancesCount": 3}], "Destinations": {"pacs": "Success"}}',0);
INSERT INTO "jobs" VALUES(2,'failed','aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa','{"Pipeline": "gaussian_smoothing", "Parameters": {"SigmaMm": 2.0}}',NULL,'subject','other',1767323045.0,0,'Failure',8,0,0.0,NULL,1767323051.0,0.0,0,'{"Kind": "UserCodeError", "HttpStatus": 500, "Message": "the moon is in the wrong phase", "Remedy": "ask it", "Details": null}',NULL,0);
INSERT INTO "jobs" VALUES(3,'waits','aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa','{"Pipeline": "gaussian_smoothing", "Parameters": {"SigmaMm": 2.0}}','image.npy','another','third',1767323045.0,3,'Pending',0,0,0.0,NULL,NULL,0.0,0,NULL,NULL,0);
CREATE TABLE leftovers (job TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE room (one INTEGER PRIMARY KEY, bytes BLOB);
CREATE TABLE seen_changes (one INTEGER PRIMARY KEY CHECK (one = 1), seen INTEGER, settled INTEGER);
INSERT INTO "seen_changes" VALUES(1,7,6);
CREATE TABLE series_numbers (
    job TEXT PRIMARY KEY, study TEXT NOT NULL, number INTEGER NOT NULL, count INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID
;
INSERT INTO "series_numbers" VALUES('waits','study',1001,1);
CREATE TABLE stable_series (seq INTEGER PRIMARY KEY AUTOINCREMENT, series TEXT NOT NULL UNIQUE);
INSERT INTO "stable_series" VALUES(1,'aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa');
CREATE TABLE verdicts (series TEXT PRIMARY KEY, verdict TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "verdicts" VALUES('bbbbbbbb-bbbbbbbb-bbbbbbbb-bbbbbbbb-bbbbbbbb','{"State": "Accepted", "User": "Anna", "Time": "2026-01-02T03:05:06"}');
CREATE INDEX by_state ON jobs (state, next_try);
CREATE INDEX by_digest ON jobs (digest);
CREATE INDEX by_subject ON jobs (subject);
CREATE INDEX by_series ON jobs (series);
CREATE INDEX firings_by_subject ON firings (subject);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',3);
INSERT INTO "sqlite_sequence" VALUES('stable_series',1);
COMMIT;
PRAGMA user_version=1;
