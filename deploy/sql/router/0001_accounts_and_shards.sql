-- Schema router: accounts with their SCRAM verifiers, and the leases of the shards.
-- The tables belong to who migrates; the service's role may only do what its statements need.

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['starling_router', 'starling_archive'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', role_name);
        END IF;
    END LOOP;
END
$$;

CREATE SCHEMA router;
GRANT USAGE ON SCHEMA router TO starling_router, starling_archive;

-- ---- accounts

CREATE TABLE router.account (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bare text COLLATE "C" NOT NULL UNIQUE,         -- prepared bare JID
    state smallint NOT NULL DEFAULT 0,             -- 0 active, 1 disabled, 2 deleted: blocks the name
    created date NOT NULL DEFAULT current_date,
    deleted date,
    CHECK (state BETWEEN 0 AND 2),
    CHECK (octet_length(bare) BETWEEN 3 AND 2047)
);

-- What RFC 5802 section 3 lets a server keep; never a password.
CREATE TABLE router.credential (
    owner bigint NOT NULL REFERENCES router.account (id) ON DELETE CASCADE,
    digest smallint NOT NULL,                      -- 0 SHA-1, 1 SHA-256, 2 SHA-512
    iterations int NOT NULL,
    salt bytea NOT NULL,
    stored_key bytea NOT NULL,
    server_key bytea NOT NULL,
    PRIMARY KEY (owner, digest),
    CHECK (digest BETWEEN 0 AND 2),
    CHECK (iterations >= 4096),
    CHECK (octet_length(salt) BETWEEN 8 AND 16)
);

GRANT SELECT, INSERT ON router.account TO starling_router;
GRANT UPDATE (state, deleted) ON router.account TO starling_router;
GRANT SELECT, INSERT, UPDATE, DELETE ON router.credential TO starling_router;

-- ---- shard leases

-- A router lives as long as it renews this row; with it live all its shards.
CREATE TABLE router.router_node (
    node text COLLATE "C" PRIMARY KEY,
    address text NOT NULL,
    boot bigint NOT NULL,
    draining boolean NOT NULL,
    expires timestamptz NOT NULL
) WITH (fillfactor = 50);

-- `epoch` grows whenever a shard changes hands; archive-svc refuses rows of an older one.
CREATE TABLE router.shard_lease (
    shard int PRIMARY KEY,
    owner text COLLATE "C",
    epoch bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Grows with every change of an owner, an epoch or an address.
CREATE TABLE router.shard_version (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    version bigint NOT NULL
);
INSERT INTO router.shard_version (version) VALUES (1);

CREATE VIEW router.shard AS
    SELECT l.shard, l.owner, n.address, l.epoch, n.expires
    FROM router.shard_lease l LEFT JOIN router.router_node n ON n.node = l.owner;

GRANT SELECT ON router.shard TO starling_router, starling_archive;
GRANT SELECT, INSERT, UPDATE, DELETE ON router.router_node TO starling_router;
GRANT SELECT, INSERT, UPDATE ON router.shard_lease TO starling_router;
GRANT SELECT, UPDATE ON router.shard_version TO starling_router;

-- Advisory locks: (7300, 1) one change of leases at a time; (7301, shard) held shared by archive-svc
-- while it appends, exclusively while the shard changes hands.

-- Waiting queues up before later appends, so a busy shard is not out of reach for ever; the limit keeps
-- one stuck append from holding back everybody's renewals.
CREATE FUNCTION router.lock_shard(p_shard int, p_until timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    left_ms int := floor(extract(epoch FROM p_until - clock_timestamp()) * 1000);
BEGIN
    IF pg_try_advisory_xact_lock(7301, p_shard) THEN
        RETURN true;
    END IF;
    IF left_ms < 1 THEN
        RETURN false;
    END IF;
    BEGIN
        PERFORM set_config('lock_timeout', left_ms || 'ms', true);
        PERFORM pg_advisory_xact_lock(7301, p_shard);
        PERFORM set_config('lock_timeout', '0', true);
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
        RETURN false;
    END;
    RETURN true;
END
$$;

CREATE FUNCTION router.bump_version() RETURNS bigint
LANGUAGE sql AS $$
    UPDATE router.shard_version SET version = version + 1 RETURNING version
$$;

-- What a router calls once a second: renews its lease, gives up the shards of `p_retake` (the router
-- has lost track of them) and those of an earlier boot, and takes what nobody owns up to its fair share.
-- Returns the whole table unless `p_known` is its version.
CREATE FUNCTION router.lease_tick(p_node text, p_address text, p_boot bigint, p_lease_ms int,
    p_shards int, p_draining boolean, p_retake int[], p_known bigint)
RETURNS TABLE (version bigint, shard int, owner text, address text, epoch bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    seen router.router_node;
    is_fresh boolean;
    is_changed boolean := false;
    free_until timestamptz;
    missing bigint;
    free_shard int;
    current_version bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7300, 1);
    SELECT * INTO seen FROM router.router_node n WHERE n.node = p_node;
    IF FOUND AND seen.boot > p_boot AND seen.expires > clock_timestamp() THEN
        RAISE EXCEPTION 'a newer process runs as %', p_node USING ERRCODE = 'ST001';
    END IF;
    is_fresh := seen.node IS NULL OR seen.boot <> p_boot;
    -- Nobody could renew: we were away, not the routers. Each gets its time to come back to its shards.
    IF NOT is_fresh AND NOT EXISTS (SELECT FROM router.router_node n WHERE n.expires > clock_timestamp()) THEN
        UPDATE router.router_node n SET expires = clock_timestamp() + make_interval(secs => p_lease_ms / 1000.0)
            WHERE NOT n.draining AND n.expires > clock_timestamp() - interval '10 minutes';
    END IF;
    is_changed := seen.address IS DISTINCT FROM p_address;

    INSERT INTO router.router_node AS n (node, address, boot, draining, expires)
        VALUES (p_node, p_address, p_boot, p_draining,
            clock_timestamp() + make_interval(secs => p_lease_ms / 1000.0))
        ON CONFLICT (node) DO UPDATE SET address = excluded.address, boot = excluded.boot,
            draining = excluded.draining, expires = excluded.expires;

    IF (SELECT count(*) FROM router.shard_lease) < p_shards THEN
        INSERT INTO router.shard_lease (shard)
            SELECT s FROM generate_series(0, p_shards - 1) s ON CONFLICT DO NOTHING;
    END IF;
    DELETE FROM router.router_node n WHERE n.expires < clock_timestamp() - interval '1 minute'
        AND NOT EXISTS (SELECT FROM router.shard_lease l WHERE l.owner = n.node);

    UPDATE router.shard_lease l SET owner = NULL
        WHERE l.owner = p_node AND (is_fresh OR l.shard = ANY (p_retake));
    is_changed := is_changed OR FOUND;

    missing := 0;
    IF NOT p_draining THEN
        SELECT ceil(p_shards / greatest(count(*), 1)::numeric) INTO missing FROM router.router_node n
            WHERE NOT n.draining AND n.expires > clock_timestamp();
        missing := missing - (SELECT count(*) FROM router.shard_lease l WHERE l.owner = p_node);
    END IF;
    free_until := clock_timestamp() + interval '400 ms';
    IF missing > 0 THEN
        FOR free_shard IN
            SELECT l.shard FROM router.shard_lease l
                LEFT JOIN router.router_node n ON n.node = l.owner AND n.expires > clock_timestamp()
                WHERE n.node IS NULL AND l.shard < p_shards ORDER BY l.shard
        LOOP
            EXIT WHEN missing <= 0;
            IF router.lock_shard(free_shard, free_until) THEN
                UPDATE router.shard_lease l SET owner = p_node, epoch = l.epoch + 1
                    WHERE l.shard = free_shard;
                missing := missing - 1;
                is_changed := true;
            END IF;
        END LOOP;
    END IF;

    IF is_changed THEN
        current_version := router.bump_version();
    ELSE
        SELECT v.version INTO current_version FROM router.shard_version v;
    END IF;
    IF current_version IS DISTINCT FROM p_known THEN
        RETURN QUERY
            SELECT current_version, l.shard, l.owner, n.address, l.epoch
            FROM router.shard_lease l LEFT JOIN router.router_node n ON n.node = l.owner
            WHERE l.shard < p_shards ORDER BY l.shard;
    END IF;
END
$$;

-- The owner has finished with a shard: it goes to `p_to`, or to nobody when that one does not live.
-- False: it was not the owner any more, or an append still runs.
CREATE FUNCTION router.hand_over(p_shard int, p_node text, p_epoch bigint, p_to text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7300, 1);
    IF NOT EXISTS (SELECT FROM router.shard_lease l
            WHERE l.shard = p_shard AND l.owner = p_node AND l.epoch = p_epoch)
        OR NOT router.lock_shard(p_shard, clock_timestamp() + interval '400 ms') THEN
        RETURN false;
    END IF;
    UPDATE router.shard_lease l
        SET epoch = l.epoch + 1,
            owner = (SELECT n.node FROM router.router_node n
                WHERE n.node = p_to AND NOT n.draining AND n.expires > clock_timestamp())
        WHERE l.shard = p_shard;
    PERFORM router.bump_version();
    RETURN true;
END
$$;

-- The last word of a router: whatever it still owns is free at once.
CREATE FUNCTION router.leave(p_node text, p_boot bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7300, 1);
    DELETE FROM router.router_node n WHERE n.node = p_node AND n.boot = p_boot;
    IF FOUND THEN
        UPDATE router.shard_lease l SET owner = NULL WHERE l.owner = p_node;
        IF FOUND THEN
            PERFORM router.bump_version();
        END IF;
    END IF;
END
$$;
