//! Keys of `connect`, by kind of asset: how each is reached. It does not know which action uses which key.

use super::{AssetKind, Field, Type};

/// Types of record sets that can be read and changed.
pub(super) const RECORD_TYPES: Type = Type::Word(&["A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SRV", "TXT"]);

const AWS: [Field; 3] = [
    Field::optional("region", Type::Text, "AWS region; else from the usual chain"),
    Field::optional("profile", Type::Text, "AWS profile; else from the usual chain"),
    Field::optional("endpoint", Type::Url, "another address than AWS's own"),
];

const POSTGRES: &[Field] = &[
    Field::required("host", Type::Text, "host name, address, or directory of a socket"),
    Field::default("port", Type::Int, "5432", "port"),
    Field::required("database", Type::Text, "the database that is protected"),
    Field::optional("user", Type::Text, "user"),
    Field::optional("password", Type::Secret, "password, as `${secrets.NAME}`"),
    Field::default(
        "sslmode",
        Type::Word(&["disable", "prefer", "require", "verify-ca", "verify-full"]),
        "prefer",
        "whether the connection must be encrypted, and the server shown to be the right one",
    ),
    Field::optional("sslrootcert", Type::Text, "file with the certificate authority that the server must show"),
    Field::default(
        "maintenance",
        Type::Text,
        "postgres",
        "the other database of the server through which a fence, a promotion and a look at the lag connect",
    ),
];

const ROUTE53: &[Field] = &[
    Field::required("zone", Type::Text, "id of the hosted zone"),
    Field::required("record", Type::Text, "name of the record, fully qualified"),
    Field::default("type", RECORD_TYPES, "CNAME", "type of the record"),
    Field::default("ttl", Type::Duration, "60s", "how long resolvers may keep an answer; whole seconds"),
    AWS[0],
    AWS[1],
    AWS[2],
];

const S3: &[Field] = &[
    Field::required("bucket", Type::Text, "the bucket"),
    Field::optional("prefix", Type::Text, "only keys that begin with it"),
    AWS[0],
    AWS[1],
    AWS[2],
];

const SQLITE: &[Field] = &[Field::required("path", Type::Text, "the database file; a relative path stands in the plan's directory")];

const HTTP: &[Field] = &[Field::optional("url", Type::Url, "the address that is asked")];

const KUBERNETES: &[Field] = &[
    Field::optional("context", Type::Text, "context of the kubeconfig; else its current one"),
    Field::optional("namespace", Type::Text, "namespace; else that of the context"),
    Field::optional("kubeconfig", Type::Text, "the kubeconfig, a relative path stands in the plan's directory; else where `kubectl` looks"),
];

const HOST: &[Field] = &[Field::optional("host", Type::Text, "host name or address")];

const CLICKHOUSE: &[Field] = &[
    Field::optional("url", Type::Url, "address of its HTTP interface"),
    Field::optional("database", Type::Text, "database"),
    Field::optional("user", Type::Text, "user"),
    Field::optional("password", Type::Secret, "password, as `${secrets.NAME}`"),
];

const REDIS: &[Field] = &[
    Field::optional("host", Type::Text, "host name or address"),
    Field::default("port", Type::Int, "6379", "port"),
    Field::default("database", Type::Int, "0", "number of the database in which single keys are looked up"),
    Field::optional("user", Type::Text, "user; else the server's default user"),
    Field::optional("password", Type::Secret, "password, as `${secrets.NAME}`"),
    Field::default("tls", Type::Bool, "false", "whether the connection must be encrypted, and the server shown to be the right one"),
    Field::optional("tls_ca", Type::Text, "file with the certificate authority that the server must show; else the system's store"),
];

const DNS: &[Field] = &[
    Field::optional("server", Type::Text, "the name server that holds the zone, as host or host:port"),
    Field::optional("zone", Type::Text, "name of the zone"),
    Field::optional("record", Type::Text, "name of the record, fully qualified"),
    Field::default("type", RECORD_TYPES, "CNAME", "type of the record"),
    Field::default("ttl", Type::Duration, "60s", "how long resolvers may keep an answer; whole seconds"),
    Field::optional("tsig_name", Type::Text, "name of the key with which updates are signed"),
    Field::default("tsig_algorithm", Type::Word(&["hmac-sha256", "hmac-sha384", "hmac-sha512"]), "hmac-sha256", "its algorithm"),
    Field::optional("tsig_secret", Type::Secret, "the key in base64, as `${secrets.NAME}`; without it updates are not signed"),
];

const KAFKA: &[Field] = &[Field::optional("bootstrap", Type::Text, "`host:port` of brokers, separated by commas")];

const FLINK: &[Field] = &[Field::optional("url", Type::Url, "address of the job manager")];

/// Keys of `connect` for a kind of asset. None for `other`, which takes any.
pub fn connect_fields(kind: AssetKind) -> &'static [Field] {
    match kind {
        AssetKind::Postgres => POSTGRES,
        AssetKind::Clickhouse => CLICKHOUSE,
        AssetKind::Redis => REDIS,
        AssetKind::Sqlite => SQLITE,
        AssetKind::S3 => S3,
        AssetKind::Route53 => ROUTE53,
        AssetKind::Dns => DNS,
        AssetKind::Kubernetes => KUBERNETES,
        AssetKind::Kafka => KAFKA,
        AssetKind::Flink => FLINK,
        AssetKind::Http => HTTP,
        AssetKind::Host => HOST,
        AssetKind::Other => &[],
    }
}
