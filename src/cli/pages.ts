/** The largest page that the service gives. */
const PAGE_SIZE = 1000;

interface ListRequest {
  readonly pageSize: number;
  readonly pageToken: string;
}

/** Reads a list to its end, page by page; returns what every page brought. */
export async function allPages<Page extends { readonly nextPageToken: string }>(
  read: (request: ListRequest) => Promise<Page>,
): Promise<[Page, ...Page[]]> {
  const first = await read({ pageSize: PAGE_SIZE, pageToken: "" });
  const pages: [Page, ...Page[]] = [first];
  for (let pageToken = first.nextPageToken; pageToken !== ""; ) {
    const page = await read({ pageSize: PAGE_SIZE, pageToken });
    pages.push(page);
    pageToken = page.nextPageToken;
  }
  return pages;
}
