//! Media types of the files in a site bundle, told from their extensions, and whether such a file can be squeezed.
//! The content is not looked at: an unknown extension is `application/octet-stream`, which browsers offer to save.

/// What a file is served as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Media {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// Whether compressing it can be worth while; pictures, archives and fonts are compressed already.
    pub squeezes: bool,
}

/// Extension, content type, squeezes.
const KNOWN: &[(&str, &str, bool)] = &[
    ("html", "text/html; charset=utf-8", true),
    ("htm", "text/html; charset=utf-8", true),
    ("xhtml", "application/xhtml+xml; charset=utf-8", true),
    ("css", "text/css; charset=utf-8", true),
    ("js", "text/javascript; charset=utf-8", true),
    ("mjs", "text/javascript; charset=utf-8", true),
    ("json", "application/json", true),
    ("map", "application/json", true),
    ("webmanifest", "application/manifest+json", true),
    ("txt", "text/plain; charset=utf-8", true),
    ("asc", "text/plain; charset=utf-8", true),
    ("md", "text/markdown; charset=utf-8", true),
    ("csv", "text/csv; charset=utf-8", true),
    ("ics", "text/calendar; charset=utf-8", true),
    ("vcf", "text/vcard; charset=utf-8", true),
    ("vtt", "text/vtt; charset=utf-8", true),
    ("xml", "application/xml; charset=utf-8", true),
    ("rss", "application/rss+xml; charset=utf-8", true),
    ("atom", "application/atom+xml; charset=utf-8", true),
    ("svg", "image/svg+xml; charset=utf-8", true),
    ("ico", "image/vnd.microsoft.icon", true),
    ("bmp", "image/bmp", true),
    ("wasm", "application/wasm", true),
    ("ttf", "font/ttf", true),
    ("otf", "font/otf", true),
    ("pdf", "application/pdf", false),
    ("png", "image/png", false),
    ("jpg", "image/jpeg", false),
    ("jpeg", "image/jpeg", false),
    ("gif", "image/gif", false),
    ("webp", "image/webp", false),
    ("avif", "image/avif", false),
    ("woff", "font/woff", false),
    ("woff2", "font/woff2", false),
    ("mp3", "audio/mpeg", false),
    ("m4a", "audio/mp4", false),
    ("ogg", "audio/ogg", false),
    ("opus", "audio/ogg", false),
    ("mp4", "video/mp4", false),
    ("webm", "video/webm", false),
    ("zip", "application/zip", false),
    ("gz", "application/gzip", false),
    ("zst", "application/zstd", false),
    ("br", "application/octet-stream", false),
];

/// What nobody knows: not shown, offered to be saved.
const UNKNOWN: Media = Media {
    content_type: "application/octet-stream",
    squeezes: true,
};

/// The media type of the file at `path`.
pub fn of(path: &str) -> Media {
    let file = path.rsplit('/').next().unwrap_or(path);
    let Some((_, extension)) = file.rsplit_once('.') else {
        return UNKNOWN;
    };
    KNOWN
        .iter()
        .find(|(known, _, _)| known.eq_ignore_ascii_case(extension))
        .map_or(UNKNOWN, |&(_, content_type, squeezes)| Media {
            content_type,
            squeezes,
        })
}

/// Whether a browser shows such content as a page of its own, in which a script could run.
pub fn is_document(content_type: &str) -> bool {
    [
        "text/html",
        "application/xhtml",
        "image/svg",
        "application/xml",
        "application/rss",
        "application/atom",
        "application/pdf",
    ]
    .iter()
    .any(|kind| content_type.starts_with(kind))
}

/// Whether the content is an HTML page.
pub fn is_page(content_type: &str) -> bool {
    content_type.starts_with("text/html") || content_type.starts_with("application/xhtml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides_whatever_its_case() {
        assert_eq!(of("a/B.HTML").content_type, "text/html; charset=utf-8");
        assert!(!of("photo.jpeg").squeezes);
        assert_eq!(of("html").content_type, "application/octet-stream");
        assert!(is_document(of("a.svg").content_type) && !is_page(of("a.svg").content_type));
    }
}
