// A table that sorts, and shows more on demand; on a phone each row is a list of its cells.
import {
  constructTable, createPaginatedRowModel, createSortedRowModel, rowPaginationFeature, rowSortingFeature,
  sortFn_basic, tableFeatures,
} from "@tanstack/table-core";
import { storeReactivityBindings } from "@tanstack/table-core/store-reactivity-bindings";
import { useMemo, useReducer } from "preact/hooks";
import { count } from "./format.js";

const features = tableFeatures({
  coreReactivityFeature: storeReactivityBindings(),
  rowSortingFeature,
  rowPaginationFeature,
  sortedRowModel: createSortedRowModel(),
  paginatedRowModel: createPaginatedRowModel(),
  sortFns: { natural: compareNaturally, basic: sortFn_basic },
});

const COLLATOR = new Intl.Collator("en", { numeric: true });

function compareNaturally(a, b, id) {
  const [left, right] = [a.getValue(id), b.getValue(id)];
  return typeof left === "string" ? COLLATOR.compare(left, right) : left - right;
}

// A column: { id, title, of: row -> value, show: row -> what is drawn, isNumber, doc }.
export function Table({ caption, columns, rows, page = 25, sort, none = "Nothing." }) {
  const [, draw] = useReducer((number) => number + 1, 0);
  const table = useMemo(() => buildTable(columns, page, sort), [columns]);
  if (table.options.data !== rows) table.setOptions((options) => ({ ...options, data: rows }));
  if (!rows.length) return <p class="none">{none}</p>;
  const change = (act) => () => {
    act();
    draw();
  };
  const shown = table.getRowModel().rows;
  return (
    <>
      <table role="table">
        <caption class="aside">{caption}</caption>
        <thead role="rowgroup">
          <tr role="row">{table.getHeaderGroups()[0].headers.map((header) => (
            <Head key={header.id} column={header.column} onSort={change(() => header.column.toggleSorting())} />
          ))}</tr>
        </thead>
        <tbody role="rowgroup">{shown.map((row) => (
          <tr role="row" key={row.id}>{columns.map((column) => (
            <td role="cell" key={column.id} data-title={column.title} class={column.isNumber ? "number" : undefined}>
              {column.show ? column.show(row.original) : column.of(row.original)}
            </td>
          ))}</tr>
        ))}</tbody>
      </table>
      {shown.length < rows.length && (
        <p class="more">
          {count(shown.length)} of {count(rows.length)} shown, {count(rows.length - shown.length)} left out.{" "}
          <button type="button" onClick={change(() => table.setPageSize(shown.length + 100))}>Show {count(Math.min(100, rows.length - shown.length))} more</button>
        </p>
      )}
    </>
  );
}

function buildTable(columns, page, sort) {
  return constructTable({
    features,
    data: [],
    columns: columns.map(({ id, title, of, isNumber }) => ({
      id, header: title, accessorFn: (row) => of(row) ?? undefined, sortFn: "natural", sortUndefined: "last",
      sortDescFirst: Boolean(isNumber),
    })),
    enableSortingRemoval: false,
    autoResetPageIndex: false,
    initialState: { sorting: sort ? [sort] : [], pagination: { pageIndex: 0, pageSize: page } },
  });
}

function Head({ column, onSort }) {
  const sorted = column.getIsSorted();
  const definition = column.columnDef;
  const order = sorted === "desc" ? "descending" : sorted === "asc" ? "ascending" : "none";
  return (
    <th role="columnheader" scope="col" aria-sort={order} class={definition.sortDescFirst ? "number" : undefined}>
      <button type="button" onClick={onSort}>
        {definition.header}<span aria-hidden="true">{sorted === "desc" ? " ▾" : sorted === "asc" ? " ▴" : ""}</span>
      </button>
    </th>
  );
}
