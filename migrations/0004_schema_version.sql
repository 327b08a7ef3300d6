-- What the application may know of the migrations: which have run. The list itself belongs to the owner.

create view schema_version as select version from _sqlx_migrations where success;
grant select on schema_version to freeside_app, loa_finn_ro;
