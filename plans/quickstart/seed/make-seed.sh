#!/bin/sh
# Makes the databases beside it. They are committed, so that make.sh needs no sqlite3; run this only to change them.
# Same rows, same order: the older ones are the beginning of the live one.
set -eu
cd "$(dirname "$0")"
for pair in older:400 newer:480 live:500; do
    file=${pair%:*}.db rows=${pair#*:}
    rm -f "$file"
    sqlite3 "$file" <<SQL
pragma page_size = 1024;
pragma journal_mode = delete;
create table orders (id integer primary key, customer text not null, item text not null, cents integer not null check (cents > 0));
create index orders_by_customer on orders (customer);
with recursive n(i) as (select 1 union all select i + 1 from n where i < $rows)
insert into orders
select i, 'customer-' || (1 + i * 37 % 60), 'item-' || (1 + i * 11 % 25), 100 + i * 173 % 9900 from n;
vacuum;
SQL
    sqlite3 "$file" "select '$file', count(*), max(id), sum(cents), (select * from pragma_integrity_check) from orders"
done
