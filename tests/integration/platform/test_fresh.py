# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database like another one, on a real MariaDB."""

from tools.fresh import connected, copy_database, fresh_database


def _run(url: str, *statements: str) -> list[tuple[object, ...]]:
    with connected(url) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()
        return list(cursor.fetchall())


def test_a_copy_has_tables_rows_and_what_ties_them(mariadb_url: str):
    with fresh_database(mariadb_url) as source, fresh_database(mariadb_url) as copy:
        _run(
            source,
            "CREATE TABLE parents (id INT PRIMARY KEY)",
            "CREATE TABLE children (parent INT, FOREIGN KEY (parent) REFERENCES parents (id))",
            "INSERT INTO parents VALUES (1)",
            "INSERT INTO children VALUES (1)",
        )
        copy_database(source, copy)
        assert _run(copy, "SELECT * FROM children") == [(1,)]
        assert "FOREIGN KEY" in str(_run(copy, "SHOW CREATE TABLE children")[0][1])
