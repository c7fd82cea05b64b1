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

const KEYS = new Map();
const KEYS_MAX = 100000; // of a page with 20,000 builders

// Texts without regard to case and accents, and numbers in them by their value. A collator takes ten times as long.
function compareNaturally(a, b, id) {
  const [left, right] = [a.getValue(id), b.getValue(id)];
  if (typeof left !== "string") return left - right;
  const [first, second] = [findKey(left), findKey(right)];
  return first < second ? -1 : first > second ? 1 : 0;
}

function findKey(text) {
  let key = KEYS.get(text);
  if (key === undefined) {
    if (KEYS.size >= KEYS_MAX) KEYS.clear();
    const plain = text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
    KEYS.set(text, (key = `${plain.replace(/\d+/g, putLengthFirst)} ${text}`));
  }
  return key;
}

function putLengthFirst(digits) {
  const number = digits.replace(/^0+(?=\d)/, "");
  return `${String(number.length).padStart(3, "0")}${number}`;
}

const NARROW = 736; // px, as in page.css: there a row is a list of its cells, so fewer are drawn
const SLACK = 3; // rows that are drawn rather than left out

// A column: { id, title, of: row -> value, show: row -> what is drawn, isNumber }. `sort` lists { id, desc }. `total` is a
// row of sums below the others. `leftOut` more rows are not on the page.
export function Table({ caption, columns, rows, page = 25, sort, total, leftOut = 0, none = "Nothing." }) {
  const [, draw] = useReducer((number) => number + 1, 0);
  const table = useMemo(() => buildTable(columns, innerWidth > NARROW ? page : Math.ceil(page / 2), sort), [columns]);
  if (table.options.data !== rows) table.setOptions((options) => ({ ...options, data: rows }));
  if (!rows.length) return <p class="none">{leftOut ? `${caption}: none of them is listed on this page` : none}</p>;
  const change = (act) => () => {
    act();
    draw();
  };
  let shown = table.getRowModel().rows;
  if (shown.length < rows.length && rows.length <= shown.length + SLACK) {
    table.setPageSize(rows.length);
    shown = table.getRowModel().rows;
  }
  // Rows are drawn over those that were there, whichever they are: to replace them takes twice as long.
  return (
    <>
      <table role="table">
        <caption class="aside">{caption}</caption>
        <thead role="rowgroup">
          <tr role="row">{table.getHeaderGroups()[0].headers.map((header) => (
            <Head key={header.id} column={header.column} onSort={change(() => header.column.toggleSorting())} />
          ))}</tr>
        </thead>
        <tbody role="rowgroup">{shown.map((row, place) => (
          <tr role="row" key={place}>{columns.map((column) => (
            <Cell key={column.id} column={column} row={row.original} />
          ))}</tr>
        ))}</tbody>
        {total && <tfoot role="rowgroup"><tr role="row">{columns.map((column) => <Cell key={column.id} column={column} row={total} />)}</tr></tfoot>}
      </table>
      {(shown.length < rows.length || leftOut > 0) && (
        <p class="more">
          {count(shown.length)} of {count(rows.length + leftOut)} shown, {count(rows.length - shown.length + leftOut)} left out
          {leftOut > 0 && `, ${count(leftOut)} of them not on this page`}.{" "}
          {shown.length < rows.length && <button type="button" onClick={change(() => table.setPageSize(shown.length + 100))}>Show {count(Math.min(100, rows.length - shown.length))} more</button>}
        </p>
      )}
    </>
  );
}

const Cell = ({ column, row }) => (
  <td role="cell" data-title={column.title} class={`${column.isNumber ? "number " : ""}is-${column.id}`}>
    <span>{column.show ? column.show(row) : column.of(row)}</span>
  </td>
);

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
    initialState: { sorting: sort ?? [], pagination: { pageIndex: 0, pageSize: page } },
  });
}

function Head({ column, onSort }) {
  const sorted = column.getIsSorted();
  const definition = column.columnDef;
  const order = sorted === "desc" ? "descending" : sorted === "asc" ? "ascending" : "none";
  return (
    <th role="columnheader" scope="col" aria-sort={order} data-title={definition.header} class={definition.sortDescFirst ? "number" : undefined}>
      <button type="button" onClick={onSort}>{definition.header}</button>
    </th>
  );
}
