-- Data an account keeps at its server: private XML (XEP-0049), vCard (XEP-0054), block list (XEP-0191).

CREATE TABLE router.account_data (
    owner bigint NOT NULL REFERENCES router.account (id) ON DELETE CASCADE,
    kind smallint NOT NULL,                        -- 1 private XML, 2 vCard, 3 block list
    key bytea NOT NULL,                            -- within the kind; says nothing about the value
    value bytea NOT NULL,
    PRIMARY KEY (owner, kind, key),
    CHECK (octet_length(key) <= 64)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON router.account_data TO starling_router;

-- Whoever deletes an account, its data goes with it (the row itself stays and blocks the name).
CREATE FUNCTION router.forget_account_data() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM router.account_data WHERE owner = NEW.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER account_data_gone AFTER UPDATE OF state ON router.account
    FOR EACH ROW WHEN (NEW.state = 2) EXECUTE FUNCTION router.forget_account_data();
